//! Which of a camera's modes suits pages best.
//!
//! Promises:
//! - Of the modes that are quick enough for the looks, the largest that is allowed comes first; the
//!   slower ones follow.
//! - Of two modes of one size, uncompressed comes before MJPG: a camera's own compressor saves on
//!   the edges of thin strokes, and what is read here is thin strokes. Where that would cost pixels
//!   or looks, as it does on USB 2, MJPG has won already. Grey alone comes last: people are shown
//!   the page in colour.
//! - What the device gives is what is used, whatever it was asked for.

use std::fmt;

use v4l::FourCC;

/// How a frame's bytes become pixels. In the order in which they are preferred at the same size:
/// the first three have the whole luminance, and the fewer bytes carry it, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pixels {
    /// NV12: a plane of luminance, then one of colour at half the size.
    Nv12,
    /// YUYV: two pixels in four bytes.
    Yuyv,
    /// RGB3: red, green and blue in a byte each.
    Rgb,
    /// A JPEG a frame.
    Mjpg,
    /// Luminance alone.
    Grey,
}

impl Pixels {
    /// By V4L2's code, where it is read here.
    pub fn of(code: FourCC) -> Option<Self> {
        match &code.repr {
            b"NV12" => Some(Self::Nv12),
            b"YUYV" => Some(Self::Yuyv),
            b"RGB3" => Some(Self::Rgb),
            b"MJPG" | b"JPEG" => Some(Self::Mjpg),
            b"GREY" => Some(Self::Grey),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Rgb => "RGB3",
            Self::Mjpg => "MJPG",
            Self::Grey => "GREY",
        }
    }
}

/// A format and a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// V4L2's code: MJPG and JPEG are the same here, and not to the device.
    pub code: [u8; 4],
    /// How it is read.
    pub pixels: Pixels,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Mode {
    /// Width × height.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} × {}", self.pixels.name(), self.width, self.height)
    }
}

/// Sizes that a device has a format in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// One.
    One(u32, u32),
    /// All from the first to the second, by steps; a continuous range has steps of 1.
    Range {
        /// The smallest.
        min: (u32, u32),
        /// The largest.
        max: (u32, u32),
        /// From one to the next.
        step: (u32, u32),
    },
}

impl Sizes {
    /// The largest that has `max_pixels` at most, in the shape of the largest of all: that is the
    /// sensor's, and shows all that it sees.
    fn largest(&self, max_pixels: u32) -> Option<(u32, u32)> {
        let (width, height) = match *self {
            Self::One(width, height) => (width, height),
            Self::Range { min, max, step } => {
                let share = f64::from(max_pixels) / (f64::from(max.0) * f64::from(max.1));
                let side = share.sqrt().min(1.0);
                let on_step = |min: u32, max: u32, step: u32| {
                    let wanted = (f64::from(max) * side) as u32;
                    min + wanted.saturating_sub(min) / step.max(1) * step.max(1)
                };
                (on_step(min.0, max.0, step.0), on_step(min.1, max.1, step.1))
            }
        };
        let area = u64::from(width) * u64::from(height);
        (1..=u64::from(max_pixels)).contains(&area).then_some((width, height))
    }
}

/// The modes to ask a device for, the best first. `rates` has the frames a second that a device
/// offers in a mode; nothing where it does not say, which is taken for enough.
pub fn ranked(
    offers: &[([u8; 4], Sizes)],
    max_pixels: u32,
    looks_per_second: u32,
    rates: impl Fn(&Mode) -> Vec<f64>,
) -> Vec<Mode> {
    let mode = |&(code, sizes): &([u8; 4], Sizes)| {
        let pixels = Pixels::of(FourCC::new(&code))?;
        let (width, height) = sizes.largest(max_pixels)?;
        Some(Mode { code, pixels, width, height })
    };
    let mut modes: Vec<_> = offers.iter().filter_map(mode).collect();
    modes.sort_by_cached_key(|mode| {
        let rates = rates(mode);
        let slow = !rates.is_empty() && rates.iter().all(|&it| it < f64::from(looks_per_second));
        (slow, u64::MAX - mode.area(), mode.pixels)
    });
    modes.dedup();
    modes
}

/// The rate to ask for: the slowest that has two frames for a look, so that a look waits for none.
/// The slower, the longer a frame may be exposed, and the less the bus carries.
pub fn pace(rates: &[f64], looks_per_second: u32) -> Option<f64> {
    let enough = rates.iter().copied().filter(|&it| it >= 2.0 * f64::from(looks_per_second));
    enough.min_by(f64::total_cmp).or_else(|| rates.iter().copied().max_by(f64::total_cmp))
}

/// Asks for one mode after the other. `attempt` says what the device gives instead, or that it
/// refuses. The first mode that is given as asked is it, unless something larger was given for
/// another one. `None`: it gives nothing.
pub fn settle<E>(
    modes: &[Mode],
    max_pixels: u32,
    mut attempt: impl FnMut(&Mode) -> Result<Option<Mode>, E>,
) -> Result<Option<Mode>, E> {
    let mut other: Option<Mode> = None;
    for mode in modes.iter().map(Some).chain([None]) {
        // What it gives unasked is asked for by its name, so that it is what is set.
        if let Some(other) = other.filter(|it| mode.is_none_or(|mode| it.area() > mode.area()))
            && attempt(&other)? == Some(other)
        {
            return Ok(Some(other));
        }
        let Some(mode) = mode else { break };
        match attempt(mode)? {
            Some(given) if given == *mode => return Ok(Some(given)),
            Some(given) if given.area() <= max_pixels.into() => {
                other = other.into_iter().chain([given]).max_by_key(Mode::area);
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 13_000_000;

    fn names(modes: &[Mode]) -> Vec<String> {
        modes.iter().map(ToString::to_string).collect()
    }

    /// What `v4l2-ctl --list-formats-ext` says of a Logitech C920, its larger sizes.
    fn c920(mode: &Mode) -> Vec<f64> {
        match (mode.pixels, mode.width) {
            (Pixels::Yuyv, 2304) => vec![2.0],
            (Pixels::Yuyv, 1920) => vec![5.0],
            (Pixels::Yuyv, 1280) => vec![10.0, 7.5, 5.0],
            _ => vec![30.0, 24.0, 20.0, 15.0, 10.0, 7.5, 5.0],
        }
    }

    const C920: [([u8; 4], Sizes); 8] = [
        (*b"YUYV", Sizes::One(640, 480)),
        (*b"YUYV", Sizes::One(1280, 720)),
        (*b"YUYV", Sizes::One(1920, 1080)),
        (*b"YUYV", Sizes::One(2304, 1536)),
        (*b"H264", Sizes::One(1920, 1080)),
        (*b"MJPG", Sizes::One(640, 480)),
        (*b"MJPG", Sizes::One(1280, 720)),
        (*b"MJPG", Sizes::One(1920, 1080)),
    ];

    #[test]
    fn a_c920_is_used_at_its_largest_size_that_is_quick_enough() {
        let modes = ranked(&C920, MAX, 4, c920);
        assert_eq!(names(&modes)[..2], ["YUYV 1920 × 1080", "MJPG 1920 × 1080"]);
        // The still mode of 2 frames a second comes after all that are quick enough.
        assert_eq!(names(&modes).last().unwrap(), "YUYV 2304 × 1536");
    }

    #[test]
    fn fewer_looks_allow_a_slower_and_larger_mode() {
        assert_eq!(names(&ranked(&C920, MAX, 2, c920))[0], "YUYV 2304 × 1536");
    }

    #[test]
    fn more_looks_than_raw_has_frames_make_it_mjpg() {
        assert_eq!(names(&ranked(&C920, MAX, 10, c920))[0], "MJPG 1920 × 1080");
    }

    #[test]
    fn a_document_camera_of_13_megapixels_is_used_whole_or_as_large_as_allowed() {
        let sizes = [(640, 480), (1920, 1080), (3264, 2448), (4208, 3120), (4160, 3120)];
        let offers: Vec<_> =
            sizes.iter().map(|&(width, height)| (*b"MJPG", Sizes::One(width, height))).collect();
        let rates = |_: &Mode| vec![10.0];
        // 4208 × 3120 are 13.1 million.
        assert_eq!(names(&ranked(&offers, MAX, 4, rates))[0], "MJPG 4160 × 3120");
        assert_eq!(names(&ranked(&offers, 13_200_000, 4, rates))[0], "MJPG 4208 × 3120");
        assert_eq!(names(&ranked(&offers, 9_000_000, 4, rates))[0], "MJPG 3264 × 2448");
        assert!(ranked(&offers, 1000, 4, rates).is_empty());
    }

    #[test]
    fn vivid_is_used_at_full_size_without_colour_conversion() {
        let sizes = [(320, 180), (640, 360), (1280, 720), (1920, 1080), (3840, 2160)];
        let codes = [*b"GREY", *b"RGB3", *b"YUYV", *b"NV12", *b"BA81"];
        let of_all = |&code| sizes.map(|(width, height)| (code, Sizes::One(width, height)));
        let offers: Vec<_> = codes.iter().flat_map(of_all).collect();
        let modes = ranked(&offers, MAX, 4, |_| vec![60.0, 30.0, 15.0]);
        let wanted = ["NV12 3840 × 2160", "YUYV 3840 × 2160", "RGB3 3840 × 2160"];
        assert_eq!(names(&modes)[..3], wanted);
        assert_eq!(names(&modes)[3], "GREY 3840 × 2160");
    }

    #[test]
    fn a_range_of_sizes_is_used_in_the_shape_of_its_largest_and_on_its_steps() {
        // An i.MX 8M Plus with a sensor of 4096 × 3072.
        let isp = Sizes::Range { min: (176, 144), max: (4096, 3072), step: (16, 8) };
        let offers = [(*b"NV12", isp), (*b"YUYV", isp)];
        let whole = names(&ranked(&offers, MAX, 4, |_| Vec::new()));
        assert_eq!(whole, ["NV12 4096 × 3072", "YUYV 4096 × 3072"]);
        let less = ranked(&offers, 8_000_000, 4, |_| Vec::new())[0];
        assert!(less.area() <= 8_000_000 && less.area() > 7_800_000, "{less}");
        assert_eq!((less.width % 16, less.height % 8), (0, 0));
        let continuous = Sizes::Range { min: (1, 1), max: (5000, 5000), step: (0, 0) };
        let less = ranked(&[(*b"GREY", continuous)], 1_000_000, 4, |_| Vec::new());
        assert_eq!(names(&less), ["GREY 1000 × 1000"]);
        let too_large = Sizes::Range { min: (4000, 4000), max: (5000, 5000), step: (8, 8) };
        assert!(ranked(&[(*b"GREY", too_large)], 1_000_000, 4, |_| Vec::new()).is_empty());
    }

    #[test]
    fn the_rate_is_the_slowest_that_has_two_frames_for_a_look() {
        assert_eq!(pace(&[30.0, 15.0, 10.0, 5.0], 4), Some(10.0));
        assert_eq!(pace(&[5.0, 2.0], 4), Some(5.0));
        assert_eq!(pace(&[], 4), None);
    }

    #[test]
    fn a_device_that_refuses_or_changes_a_mode_is_asked_for_the_next() {
        let modes = ranked(&C920, MAX, 4, c920);
        let mut asked = Vec::new();
        let given = settle::<()>(&modes, MAX, |mode| {
            asked.push(*mode);
            Ok(match mode.pixels {
                Pixels::Yuyv if mode.width == 1920 => None,
                Pixels::Mjpg if mode.width == 1920 => Some(Mode { width: 1600, ..*mode }),
                _ => Some(*mode),
            })
        });
        // Larger than the next one, which is not asked for.
        assert_eq!(given.unwrap().unwrap().to_string(), "MJPG 1600 × 1080");
        let changed = asked.pop().unwrap();
        assert_eq!((asked, changed.width), (modes[..2].to_vec(), 1600));
        let small = |mode: &Mode| Some(Mode { width: mode.width.min(1280), height: 720, ..*mode });
        let given = settle::<()>(&modes, MAX, |mode| Ok(small(mode)));
        assert_eq!(given.unwrap().unwrap().to_string(), "YUYV 1280 × 720");
    }

    #[test]
    fn where_no_mode_is_given_as_asked_the_largest_that_is_given_is_used() {
        let modes = ranked(&C920, MAX, 4, c920);
        let stubborn = Mode { code: *b"GREY", pixels: Pixels::Grey, width: 800, height: 600 };
        let given = settle::<()>(&modes, MAX, |_| Ok(Some(stubborn)));
        assert_eq!(given, Ok(Some(stubborn)));
        assert_eq!(settle::<()>(&modes, MAX, |_| Ok(None)), Ok(None));
        assert_eq!(settle(&modes, MAX, |_| Err("unplugged")), Err("unplugged"));
        // Larger than allowed is no choice.
        assert_eq!(settle::<()>(&modes, 1000, |_| Ok(Some(stubborn))), Ok(None));
    }
}
