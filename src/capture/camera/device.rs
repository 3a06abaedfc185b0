//! Finds a camera, opens it, and reads its frames (V4L2).
//!
//! Everything here can block in the kernel for as long as a device pleases: it runs on the
//! camera's own thread, or on one that the caller can do without.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cic_kiosk::config;
use rustix::io::Errno;
use v4l::buffer::{self, Type};
use v4l::capability::Flags;
use v4l::format::{Colorspace, Quantization};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC, Fraction};

use super::super::Fault;
use super::controls;
use super::mode::{self, Mode, Pixels, Sizes};
use super::pixels::Shape;
use super::thread::{Device, Picture, now};

/// Frames that the driver fills in turn: one that is read, one that is being filled, and two so
/// that none is lost where the reader is late.
const BUFFERS: u32 = 4;

/// A camera that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `/dev/videoN`, which another one may be after the next start.
    pub path: PathBuf,
    /// The card's name.
    pub card: String,
    /// Names that stay: its entries in `/dev/v4l/by-id` and `by-path`.
    pub names: Vec<PathBuf>,
    /// What it can do, the best for pages first. None where it may not be opened.
    pub modes: Vec<Mode>,
    /// Whose members may open it, where this program may not.
    pub denied_to_all_but: Option<String>,
}

impl Found {
    /// By which it can be named in the configuration.
    pub fn stable_name(&self) -> String {
        self.names.first().map_or_else(
            || self.card.clone(),
            |it| it.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        )
    }

    fn is(&self, wanted: &str) -> bool {
        let of_name = |name: &PathBuf| {
            name == Path::new(wanted) || name.file_name().is_some_and(|it| it == wanted)
        };
        self.path == Path::new(wanted) || self.card == wanted || self.names.iter().any(of_name)
    }
}

/// The cameras of this machine. It opens every video device, which can take as long as the
/// devices please.
pub fn list(settings: &config::Camera) -> Vec<Found> {
    find(settings, None)
}

/// The node that a stable name, or a path, leads to: no other device needs to be opened then.
fn node_of(name: &str) -> Option<PathBuf> {
    // A name that is a whole path stays one.
    let folders = ["/dev/v4l/by-id", "/dev/v4l/by-path"];
    folders.into_iter().find_map(|folder| fs::canonicalize(Path::new(folder).join(name)).ok())
}

fn find(settings: &config::Camera, only: Option<&Path>) -> Vec<Found> {
    let number =
        |path: &Path| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let mut paths: Vec<_> = entries("/dev").filter_map(|it| Some((number(&it)?, it))).collect();
    paths.retain(|(_, path)| only.is_none_or(|only| only == path));
    paths.sort();
    let links: Vec<_> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .into_iter()
        .flat_map(|folder| {
            let mut links: Vec<_> = entries(folder).collect();
            links.sort();
            links
        })
        .filter_map(|link| Some((fs::canonicalize(&link).ok()?, link)))
        .collect();
    let examined = paths.into_iter().filter_map(|(number, path)| {
        let names = links.iter().filter(|(to, _)| *to == path).map(|(_, name)| name.clone());
        let names = names.collect();
        // The library panics where a driver says what it does not know, as a name that is no text.
        let seen = catch_unwind(AssertUnwindSafe(|| examine(&path, settings)));
        let (card, modes, denied) = match seen.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        {
            Ok(Some((card, modes))) => (card, modes, None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let name = format!("/sys/class/video4linux/video{number}/name");
                let card = fs::read_to_string(name).unwrap_or_default().trim().to_owned();
                (card, Vec::new(), Some(group_of(&path)))
            }
            Ok(None) | Err(_) => return None,
        };
        Some(Found { path, card, names, modes, denied_to_all_but: denied })
    });
    examined.collect()
}

fn entries(folder: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The group that a device belongs to, by name where it has one.
fn group_of(path: &Path) -> String {
    let Ok(id) = fs::metadata(path).map(|it| it.gid().to_string()) else { return String::new() };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.unwrap_or(id)
}

/// A device's card and modes; nothing where it does not capture pictures.
fn examine(path: &Path, settings: &config::Camera) -> io::Result<Option<(String, Vec<Mode>)>> {
    let device = v4l::Device::with_path(path)?;
    let about = device.query_caps()?;
    // The node's own abilities: a camera has others for metadata, and codecs capture too.
    let captures = about.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING)
        && !about.capabilities.intersects(Flags::VIDEO_M2M | Flags::VIDEO_OUTPUT);
    Ok(captures.then(|| (about.card, modes(&device, settings))))
}

fn modes(device: &v4l::Device, settings: &config::Camera) -> Vec<Mode> {
    let formats = device.enum_formats().unwrap_or_default();
    let codes = formats.iter().map(|it| it.fourcc).filter(|&it| Pixels::of(it).is_some());
    // A device that names no sizes has one, as where a cable brings the picture.
    let now = device.format().map(|it| Sizes::One(it.width, it.height));
    let sizes = |code: FourCC| {
        let sizes = device.enum_framesizes(code);
        let sizes: Vec<_> = sizes.into_iter().flatten().map(|it| sizes_of(&it.size)).collect();
        let only = now.as_ref().ok().filter(|_| sizes.is_empty()).copied();
        sizes.into_iter().chain(only).map(move |it| (code.repr, it))
    };
    let offers: Vec<_> = codes.flat_map(sizes).collect();
    mode::ranked(&offers, settings.max_pixels, settings.looks_per_second.get(), |mode| {
        rates(device, mode)
    })
}

fn sizes_of(size: &FrameSizeEnum) -> Sizes {
    match size {
        FrameSizeEnum::Discrete(it) => Sizes::One(it.width, it.height),
        FrameSizeEnum::Stepwise(it) => Sizes::Range {
            min: (it.min_width, it.min_height),
            max: (it.max_width, it.max_height),
            step: (it.step_width, it.step_height),
        },
    }
}

fn rates(device: &v4l::Device, mode: &Mode) -> Vec<f64> {
    let rate = |it: Fraction| f64::from(it.denominator) / f64::from(it.numerator.max(1));
    let intervals = device.enum_frameintervals(FourCC::new(&mode.code), mode.width, mode.height);
    let of_interval = |interval: FrameIntervalEnum| match interval {
        FrameIntervalEnum::Discrete(it) => vec![rate(it)],
        // The shortest interval is the quickest.
        FrameIntervalEnum::Stepwise(it) => vec![rate(it.min), rate(it.max)],
    };
    intervals.unwrap_or_default().into_iter().flat_map(|it| of_interval(it.interval)).collect()
}

/// The one that is meant, among those that there are.
fn pick<'a>(found: &'a [Found], wanted: Option<&str>) -> Result<&'a Found, Fault> {
    let matching: Vec<_> =
        found.iter().filter(|it| wanted.is_none_or(|wanted| it.is(wanted))).collect();
    let names = |found: &mut dyn Iterator<Item = &Found>| {
        found.map(Found::stable_name).collect::<Vec<_>>().join(", ")
    };
    match (&matching[..], wanted) {
        ([only], _) => match &only.denied_to_all_but {
            None => Ok(only),
            Some(group) => Err(Fault::Failing(format!(
                "this program may not use the camera {}: add its user to the group {group}",
                only.card
            ))),
        },
        ([], None) => {
            Err(Fault::Absent("there is no camera: plug one in, and look at its cable".to_owned()))
        }
        ([], Some(wanted)) if found.is_empty() => Err(Fault::Absent(format!(
            "the camera {wanted} is not there, nor any other: plug it in, and look at its cable"
        ))),
        ([], Some(wanted)) => Err(Fault::Absent(format!(
            "the camera {wanted} is not there: plug it in, or name another one in camera.device: {}",
            names(&mut found.iter())
        ))),
        (several, _) => Err(Fault::Failing(format!(
            "there are several cameras: name one in camera.device: {}",
            names(&mut several.iter().copied())
        ))),
    }
}

/// A camera that gives frames.
pub struct Camera {
    device: v4l::Device,
    stream: Option<Stream<'static>>,
    shape: Shape,
    settings: config::Camera,
}

/// Finds the camera that is configured and starts it in the best mode that it gives.
pub fn open(settings: &config::Camera) -> Result<Camera, Fault> {
    let wanted = settings.device.as_deref();
    let node = wanted.and_then(node_of);
    let found = find(settings, node.as_deref());
    let found = pick(&found, node.as_deref().and_then(Path::to_str).or(wanted))?;
    let mut camera = Camera::at(&found.path, settings).map_err(fault)?;
    let given = mode::settle(&found.modes, settings.max_pixels, |mode| camera.attempt(mode))?;
    let given = given.ok_or_else(|| {
        Fault::Failing(match found.modes.is_empty() {
            true => format!(
                "the camera {} has no mode of at most {} pixels (MJPG, YUYV, NV12, RGB3 or GREY): \
                 use another one, or raise camera.max_pixels",
                found.card, settings.max_pixels
            ),
            false => {
                format!("the camera {} refuses all of its modes: plug it in again", found.card)
            }
        })
    })?;
    log::info!("the camera {} takes pictures: {given}", found.card);
    Ok(camera)
}

impl Camera {
    /// Not started.
    pub(super) fn at(path: &Path, settings: &config::Camera) -> io::Result<Self> {
        let mode = Mode { code: [0; 4], pixels: Pixels::Grey, width: 0, height: 0 };
        Ok(Self {
            device: v4l::Device::with_path(path)?,
            stream: None,
            shape: Shape { mode, stride: 0, full_range: true },
            settings: settings.clone(),
        })
    }

    /// Sets a mode and starts it: a bus that has no room for it says so only then. Returns what
    /// the device gives instead, or `None` where it refuses.
    pub(super) fn attempt(&mut self, mode: &Mode) -> Result<Option<Mode>, Fault> {
        self.end();
        let format = Format::new(mode.width, mode.height, FourCC::new(&mode.code));
        let format = match self.device.set_format(&format) {
            Ok(format) => format,
            Err(error) => return refusal(error),
        };
        let Some(pixels) = Pixels::of(format.fourcc) else { return Ok(None) };
        let (width, height) = (format.width, format.height);
        let given = Mode { code: format.fourcc.repr, pixels, width, height };
        if given != *mode {
            return Ok(Some(given));
        }
        self.shape = Shape {
            mode: given,
            stride: format.stride,
            full_range: match format.quantization {
                Quantization::FullRange => true,
                Quantization::LimitedRange => false,
                Quantization::Default => matches!(format.colorspace, Colorspace::JPEG),
            },
        };
        let looks = self.settings.looks_per_second.get();
        if let Some(rate) = mode::pace(&rates(&self.device, &given), looks) {
            let interval = Fraction::new(1000, (1000.0 * rate).round() as u32);
            // A device that goes at a speed of its own is read at that.
            let _ = self.device.set_params(&Parameters::new(interval));
        }
        match self.start() {
            Ok(()) => Ok(Some(given)),
            Err(error) => refusal(error),
        }
    }

    /// Starts the stream, up to its first frame, which is dropped.
    fn start(&mut self) -> io::Result<()> {
        let stream = Stream::with_buffers(&self.device, Type::VideoCapture, BUFFERS)?;
        let stream = self.stream.insert(stream);
        stream.set_timeout(self.settings.timeout());
        stream.next().map(|_| ())
    }

    /// Ends the stream. The library's own end panics where the device does not obey, and then a
    /// second time while it unwinds: such a stream is left behind, as the memory that it is.
    fn end(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            match stream.stop() {
                Ok(()) => drop(stream),
                Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                    drop(stream);
                }
                Err(_) => std::mem::forget(stream),
            }
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.end();
    }
}

impl Device for Camera {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn begin(&mut self) -> Vec<&'static str> {
        controls::begin(&self.device, &self.settings)
    }

    fn lock(&mut self) -> Vec<&'static str> {
        controls::lock(&self.device, &self.settings)
    }

    fn next(&mut self) -> Result<Picture<'_>, Fault> {
        let Some(stream) = &mut self.stream else {
            return Err(fault(Errno::NODEV.into()));
        };
        let (bytes, about) = stream.next().map_err(fault)?;
        let bytes = bytes.get(..about.bytesused as usize).unwrap_or(bytes);
        let monotonic =
            about.flags & buffer::Flags::TIMESTAMP_MASK == buffer::Flags::TIMESTAMP_MONOTONIC;
        let seconds = Duration::from_secs(about.timestamp.sec.try_into().unwrap_or(0));
        let micros = Duration::from_micros(about.timestamp.usec.try_into().unwrap_or(0));
        Ok(Picture {
            bytes,
            is_whole: !about.flags.contains(buffer::Flags::ERROR) && self.shape.holds(bytes),
            at: if monotonic { seconds.saturating_add(micros) } else { now() },
        })
    }
}

/// What an error means for a mode: another one may do, or nothing will.
fn refusal(error: io::Error) -> Result<Option<Mode>, Fault> {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    match code {
        // No such mode; no room on the bus; no memory; a broken pipe is USB's word for no.
        Some(Errno::INVAL | Errno::NOSPC | Errno::NOMEM | Errno::PIPE | Errno::RANGE) => Ok(None),
        _ => Err(fault(error)),
    }
}

/// An error of the device in words.
fn fault(error: io::Error) -> Fault {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    match code {
        Some(Errno::NODEV | Errno::NXIO | Errno::NOENT) => {
            Fault::Absent("the camera has been unplugged: plug it in again".to_owned())
        }
        Some(Errno::BUSY) => Fault::Failing("another program uses the camera: end it".to_owned()),
        _ if error.kind() == io::ErrorKind::TimedOut => super::silent(),
        _ => Fault::Failing(format!("the camera fails ({error}): unplug it and plug it in again")),
    }
}

/// What a panic of the library means.
pub fn odd() -> Fault {
    Fault::Failing("the camera's driver says what is not understood: use another camera".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(path: &str, card: &str, names: &[&str]) -> Found {
        Found {
            path: path.into(),
            card: card.into(),
            names: names.iter().map(PathBuf::from).collect(),
            modes: Vec::new(),
            denied_to_all_but: None,
        }
    }

    fn two() -> Vec<Found> {
        let by_id = "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0";
        let by_path = "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0";
        vec![
            camera("/dev/video0", "HD Pro Webcam C920", &[by_id, by_path]),
            camera("/dev/video2", "Document Camera", &[]),
        ]
    }

    #[test]
    fn a_camera_is_found_by_path_by_stable_name_and_by_card() {
        let found = two();
        for name in [
            "/dev/video0",
            "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0",
            "usb-046d_HD_Pro_Webcam_C920-video-index0",
            "pci-0000:00:14.0-usb-0:2:1.0-video-index0",
            "HD Pro Webcam C920",
        ] {
            assert_eq!(pick(&found, Some(name)), Ok(&found[0]), "{name}");
        }
        assert_eq!(pick(&found, Some("Document Camera")), Ok(&found[1]));
    }

    #[test]
    fn the_only_camera_needs_no_name_and_several_do() {
        let found = two();
        assert_eq!(pick(&found[..1], None), Ok(&found[0]));
        let Err(Fault::Failing(reason)) = pick(&found, None) else { panic!() };
        assert!(reason.contains("usb-046d_HD_Pro_Webcam_C920-video-index0, Document Camera"));
        let twins = [&found[0], &found[0]].map(Clone::clone);
        assert!(matches!(pick(&twins, Some("HD Pro Webcam C920")), Err(Fault::Failing(_))));
    }

    #[test]
    fn a_camera_that_is_not_there_is_absent_and_the_others_are_named() {
        assert!(matches!(pick(&[], None), Err(Fault::Absent(_))));
        assert!(matches!(pick(&[], Some("other")), Err(Fault::Absent(_))));
        let Err(Fault::Absent(reason)) = pick(&two(), Some("other")) else { panic!() };
        assert!(reason.contains("Document Camera"), "{reason}");
    }

    #[test]
    fn a_camera_that_may_not_be_opened_says_whose_group_may() {
        let mut found = two();
        found[0].denied_to_all_but = Some("video".to_owned());
        let Err(Fault::Failing(reason)) = pick(&found[..1], None) else { panic!() };
        assert!(reason.ends_with("add its user to the group video"), "{reason}");
    }

    #[test]
    fn what_the_kernel_answers_becomes_words() {
        let of = |errno: Errno| fault(errno.into());
        assert!(matches!(of(Errno::NODEV), Fault::Absent(_)));
        assert!(matches!(of(Errno::IO), Fault::Failing(_)));
        assert_eq!(fault(io::ErrorKind::TimedOut.into()), super::super::silent());
        assert!(matches!(refusal(Errno::NOSPC.into()), Ok(None)));
        assert!(matches!(refusal(Errno::BUSY.into()), Err(Fault::Failing(_))));
    }
}
