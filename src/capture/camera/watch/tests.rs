//! Papers, hands and lamps on drawn tables. The papers are the committed reports, or those of the
//! folder that `CIC_KIOSK_PAPERS` names.

use std::env;
use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use cic_kiosk::page::{Document, Limits};
use image::imageops::{FilterType, resize};

use super::*;

const WIDTH: usize = 960;
const HEIGHT: usize = 720;
/// A sheet's height in a look.
const SHEET: f64 = 600.0;

/// Pages of reports, as tall as a sheet is in a look, in even light.
fn pages() -> &'static [GrayImage] {
    static PAGES: OnceLock<Vec<GrayImage>> = OnceLock::new();
    PAGES.get_or_init(|| {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/reports");
        let folder = env::var_os("CIC_KIOSK_PAPERS").map_or(committed.into(), PathBuf::from);
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|it| it.extension() == Some("pdf".as_ref())).collect();
        files.sort();
        let mut pages = Vec::new();
        for file in files.into_iter().rev() {
            let document = Document::open(fs::read(file).unwrap(), &Limits::default()).unwrap();
            for page in document.pages() {
                let height = SHEET as u32;
                let grey = page.unwrap().grey();
                let size = (height * 1000 / 1414, height);
                let mut page = resize(&grey, size.0, size.1, FilterType::Triangle);
                let light = resize(&page, 12, 17, FilterType::Triangle);
                let light = resize(&light, size.0, size.1, FilterType::Triangle);
                for (pixel, light) in page.pixels_mut().zip(light.pixels()) {
                    let even = f32::from(pixel.0[0]) / f32::from(light.0[0].max(1));
                    pixel.0[0] = (225.0 * even).min(240.0) as u8;
                }
                pages.push(page);
            }
        }
        pages
    })
}

#[derive(Clone, Copy, Debug)]
enum Table {
    DarkWood,
    Grey,
    Light,
}

impl Table {
    fn at(self, x: f64, y: f64) -> f64 {
        match self {
            Self::DarkWood => 48.0 + 9.0 * (y / 11.0 + (x / 90.0).sin() * 2.0).sin(),
            Self::Grey => 110.0 + 14.0 * (x / 900.0),
            Self::Light => 168.0 + 4.0 * (x / 17.0).sin() * (y / 60.0).cos(),
        }
    }
}

/// Chance that is the same each time (xorshift, G. Marsaglia, 2003).
struct Chance(u64);

impl Chance {
    /// Between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// A sheet on the table: which page, where its middle is, and by how many degrees it is turned.
#[derive(Clone, Copy)]
struct Sheet {
    page: usize,
    x: f64,
    y: f64,
    degrees: f64,
}

/// A table with sheets, hands and lamps, and the watch that looks at it four times a second.
struct Stage {
    watch: Watch,
    table: Table,
    chance: Chance,
    /// From the lowest to the topmost.
    sheets: Vec<Sheet>,
    /// Where the tip of a hand is, which comes from the right.
    hand: Option<(f64, f64)>,
    /// How bright the lamp is, and how it flickers: by which share, how often a second, and in how
    /// many bands.
    light: f64,
    flicker: (f64, f64, f64),
    /// Standard deviation of the sensor's noise, in levels.
    noise: f64,
    blur: f32,
    drawn: Option<Vec<f64>>,
    looks: u32,
    /// What the next pages become.
    becomes: Taken,
    taken: Vec<usize>,
    at: Vec<Duration>,
}

impl Stage {
    fn new(table: Table, seed: u64) -> Self {
        let settings = config::Camera::default();
        Self {
            watch: Watch::new(&settings, Gate::default()),
            table,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            sheets: Vec::new(),
            hand: None,
            light: 0.9,
            flicker: (0.0, 0.0, 0.0),
            noise: 3.0,
            blur: 0.0,
            drawn: None,
            looks: 0,
            becomes: Taken::Kept,
            taken: Vec::new(),
            at: Vec::new(),
        }
    }

    /// Light that the table and its sheets give back.
    fn draw(&self) -> Vec<f64> {
        let mut drawn: Vec<f64> = (0..WIDTH * HEIGHT)
            .map(|at| self.table.at((at % WIDTH) as f64, (at / WIDTH) as f64))
            .collect();
        for sheet in &self.sheets {
            let page = &pages()[sheet.page];
            let (width, height) = (f64::from(page.width()), f64::from(page.height()));
            let (sin, cos) = sheet.degrees.to_radians().sin_cos();
            for (at, value) in drawn.iter_mut().enumerate() {
                let (x, y) = ((at % WIDTH) as f64 - sheet.x, (at / WIDTH) as f64 - sheet.y);
                // The camera does not look straight down.
                let near = 1.0 + 1e-4 * x - 7e-5 * y;
                let u = (cos * x + sin * y) / near + width / 2.0;
                let v = (cos * y - sin * x) / near + height / 2.0;
                if (0.0..width - 1.0).contains(&u) && (0.0..height - 1.0).contains(&v) {
                    let ink = image::imageops::interpolate_bilinear(page, u as f32, v as f32);
                    *value = ink.map_or(*value, |ink| f64::from(ink.0[0]).min(245.0));
                } else if (-7.0..width - 1.0).contains(&u) && (-1.0..height + 5.0).contains(&v) {
                    *value *= 0.8;
                }
            }
        }
        if self.blur > 0.0 {
            let grey = GrayImage::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
                image::Luma([drawn[y as usize * WIDTH + x as usize] as u8])
            });
            let soft = image::imageops::blur(&grey, self.blur);
            return soft.as_raw().iter().map(|value| f64::from(*value)).collect();
        }
        drawn
    }

    /// One look, a quarter of a second after the last one.
    fn look(&mut self) -> Sight {
        self.looks += 1;
        let time = Duration::from_millis(250) * self.looks;
        let drawn = self.drawn.take().unwrap_or_else(|| self.draw());
        let (share, rate, bands) = self.flicker;
        let mut frame = GrayImage::new(WIDTH as u32, HEIGHT as u32);
        for (y, row) in frame.as_mut().chunks_exact_mut(WIDTH).enumerate() {
            let phase = rate * time.as_secs_f64() + bands * y as f64 / HEIGHT as f64;
            let light = self.light * (1.0 + share * (TAU * phase).sin());
            for (x, value) in row.iter_mut().enumerate() {
                let mut light_back = drawn[y * WIDTH + x];
                if let Some((tip_x, tip_y)) = self.hand {
                    // An arm, and a rounded hand at its end.
                    let along = (x as f64 - tip_x).min(0.0);
                    if along.hypot(y as f64 - tip_y - 0.2 * (x as f64 - tip_x).max(0.0)) < 42.0 {
                        light_back = 135.0 + 20.0 * (y as f64 - tip_y) / 42.0;
                    }
                }
                let noise = 1.7 * self.noise * self.chance.next();
                *value = (light * light_back + noise).round().clamp(0.0, 255.0) as u8;
            }
        }
        self.drawn = Some(drawn);
        let sight = self.watch.look(&frame, time);
        if sight == Sight::Take {
            assert!(self.hand.is_none(), "taken with a hand over it");
            self.taken.push(self.sheets.last().map_or(usize::MAX, |sheet| sheet.page));
            self.at.push(time);
            self.watch.taken(&self.becomes);
        }
        sight
    }

    /// The last of so many looks.
    fn looks(&mut self, count: u32) -> Sight {
        (1..count).for_each(|_| {
            self.look();
        });
        self.look()
    }

    /// Somewhere near the middle of the table.
    fn place(&mut self, page: usize) -> Sheet {
        let mut near = |middle: f64, reach: f64| middle + reach * self.chance.next();
        let (x, y) = (near(WIDTH as f64 / 2.0, 50.0), near(HEIGHT as f64 / 2.0, 14.0));
        Sheet { page, x, y, degrees: near(0.0, 5.0) }
    }

    /// A hand brings the topmost sheet to its place, or takes it away, and is gone.
    fn bring(&mut self, sheet: Sheet, is_new: bool) {
        if !is_new {
            self.sheets.pop();
        }
        for away in [300.0, 120.0, 12.0] {
            self.sheets.push(Sheet { x: sheet.x + away, ..sheet });
            self.hand = Some((sheet.x + away + 150.0, sheet.y + 30.0));
            self.drawn = None;
            self.look();
            self.sheets.pop();
        }
        self.sheets.push(sheet);
        self.drawn = None;
        self.hand = Some((sheet.x + 150.0, sheet.y + 30.0));
        self.looks(6);
        self.hand = Some((sheet.x + 330.0, sheet.y + 30.0));
        self.look();
        self.hand = None;
    }

    fn put(&mut self, page: usize) {
        let sheet = self.place(page);
        self.bring(sheet, true);
    }

    fn take_away(&mut self) {
        if let Some(sheet) = self.sheets.last().copied() {
            self.hand = Some((sheet.x + 150.0, sheet.y));
            self.looks(2);
            self.sheets.pop();
            self.drawn = None;
            self.look();
            self.hand = None;
        }
    }

    fn flicker(&mut self) {
        let rate = 5.5 + 4.5 * self.chance.next();
        self.flicker = (0.15, rate, 2.0 + 2.0 * self.chance.next());
    }
}

const TABLES: [Table; 3] = [Table::DarkWood, Table::Grey, Table::Light];

/// For each table and a few seeds: what a stage saw must be so.
fn everywhere(play: impl Fn(&mut Stage) + Sync) {
    let play = &play;
    std::thread::scope(|scope| {
        for table in TABLES {
            scope.spawn(move || {
                for seed in 1..=2 {
                    play(&mut Stage::new(table, seed));
                }
            });
        }
    });
}

#[test]
fn eight_pages_one_after_another_are_taken_once_each() {
    everywhere(|stage| {
        stage.noise = 5.0;
        stage.flicker();
        assert_eq!(stage.looks(5), Sight::Empty, "{:?}", stage.table);
        for page in 0..8 {
            let sheet = stage.place(page);
            match (page % 3, stage.sheets.last().copied()) {
                // The other one is taken from the table first.
                (0, Some(_)) => {
                    stage.take_away();
                    assert_eq!(stage.looks(6), Sight::Empty, "{:?}", stage.table);
                    stage.bring(sheet, true);
                }
                // On top of the other one, some millimetres off.
                (1, Some(under)) => {
                    let (x, y) = (under.x + 0.12 * (sheet.x - 480.0), under.y + 3.0);
                    let degrees = under.degrees + 0.1 * sheet.degrees;
                    stage.bring(Sheet { page, x, y, degrees }, true);
                    stage.sheets = vec![Sheet { page, x, y, degrees }];
                }
                // In its place.
                _ => {
                    stage.sheets.clear();
                    stage.bring(sheet, true);
                }
            }
            assert_eq!(stage.looks(8), Sight::Done, "{:?}, page {page}", stage.table);
        }
        assert_eq!(stage.taken, [0, 1, 2, 3, 4, 5, 6, 7], "{:?}", stage.table);
    });
}

#[test]
fn the_same_page_again_is_not_taken_again() {
    everywhere(|stage| {
        stage.put(1);
        assert_eq!(stage.looks(6), Sight::Done);
        for _ in 0..3 {
            let sheet = stage.place(1);
            stage.bring(sheet, false);
            assert_eq!(stage.looks(6), Sight::Done, "{:?}", stage.table);
            stage.take_away();
            assert_eq!(stage.looks(6), Sight::Empty, "{:?}", stage.table);
            stage.put(1);
            assert_eq!(stage.looks(6), Sight::Done, "{:?}", stage.table);
        }
        assert_eq!(stage.taken, [1], "{:?}", stage.table);
    });
}

#[test]
fn a_hand_over_the_page_delays_it_and_is_no_other_page() {
    everywhere(|stage| {
        stage.put(3);
        stage.hand = Some((520.0, 400.0));
        let sight = stage.looks(8);
        assert!(matches!(sight, Sight::Wait(_)), "{:?}: {sight:?}", stage.table);
        assert!(stage.taken.is_empty());
        stage.hand = None;
        assert_eq!(stage.looks(6), Sight::Done, "{:?}", stage.table);
        stage.hand = Some((560.0, 300.0));
        stage.looks(8);
        stage.hand = None;
        assert_eq!(stage.looks(6), Sight::Done, "{:?}", stage.table);
        assert_eq!(stage.taken, [3]);
    });
}

#[test]
fn lamps_may_flicker_and_be_switched() {
    everywhere(|stage| {
        stage.light = 0.5;
        stage.put(2);
        assert_eq!(stage.looks(6), Sight::Done, "{:?}", stage.table);
        for light in [0.95, 0.6] {
            stage.light = light;
            stage.flicker();
            assert_eq!(stage.looks(10), Sight::Done, "{:?}", stage.table);
        }
        assert_eq!(stage.taken, [2]);
    });
}

#[test]
fn a_page_that_is_moved_is_taken_where_it_comes_to_rest() {
    everywhere(|stage| {
        let sheet = stage.place(4);
        for step in 0..12 {
            stage.sheets = vec![Sheet { x: sheet.x + 4.0 * f64::from(step), ..sheet }];
            stage.drawn = None;
            let sight = stage.look();
            assert_eq!(sight, Sight::Wait(Problem::Moving), "{:?}", stage.table);
        }
        assert_eq!(stage.looks(6), Sight::Done);
        assert_eq!(stage.taken, [4]);
    });
}

#[test]
fn a_page_that_runs_out_of_the_picture_waits_for_its_corners() {
    everywhere(|stage| {
        stage.looks(5);
        for (x, y) in [(480.0, 480.0), (150.0, 360.0), (200.0, 580.0)] {
            stage.sheets = vec![Sheet { page: 0, x, y, degrees: 2.0 }];
            stage.drawn = None;
            let wanted = Sight::Wait(Problem::Poor(Finding::CutOff));
            assert_eq!(stage.looks(6), wanted, "{:?} at {x}, {y}", stage.table);
        }
        assert!(stage.taken.is_empty());
    });
}

#[test]
fn a_page_out_of_focus_waits() {
    let mut stage = Stage::new(Table::Grey, 1);
    stage.blur = 2.5;
    stage.put(0);
    assert_eq!(stage.looks(8), Sight::Wait(Problem::Poor(Finding::Blurred)));
    stage.blur = 0.0;
    stage.drawn = None;
    assert_eq!(stage.looks(8), Sight::Done);
    assert_eq!(stage.taken, [0]);
}

#[test]
fn a_page_that_was_not_good_enough_is_taken_again_when_it_may_be_better() {
    let mut stage = Stage::new(Table::DarkWood, 1);
    stage.becomes = Taken::Again(vec![Finding::Glare]);
    stage.put(5);
    assert_eq!(stage.looks(10), Sight::Wait(Problem::Poor(Finding::Glare)));
    assert_eq!(stage.taken, [5]);
    // Nothing changes: after a pause.
    stage.looks(20);
    assert_eq!(stage.taken, [5, 5]);
    assert!(stage.at[1] - stage.at[0] >= AGAIN);
    // More light: at once.
    stage.light = 0.5;
    stage.looks(22);
    let taken = stage.taken.len();
    stage.light = 0.95;
    stage.looks(2);
    assert_eq!(stage.taken.len(), taken + 1);
    // Laid anew: at once.
    stage.becomes = Taken::Kept;
    let sheet = stage.place(5);
    stage.bring(sheet, false);
    assert_eq!(stage.looks(6), Sight::Done);
    assert_eq!(stage.taken.len(), taken + 2);
}

#[test]
fn a_person_may_insist() {
    let mut stage = Stage::new(Table::DarkWood, 1);
    stage.looks(5);
    stage.watch.insist();
    assert_eq!(stage.look(), Sight::Empty);
    stage.sheets = vec![Sheet { page: 0, x: 200.0, y: 580.0, degrees: 2.0 }];
    stage.drawn = None;
    stage.look();
    stage.watch.insist();
    assert_eq!(stage.look(), Sight::Take);
}

#[test]
fn whoever_only_looks_sees_the_figures_change_with_the_focus() {
    let mut stage = Stage::new(Table::Grey, 1);
    stage.put(0);
    let seen = |stage: &mut Stage, blur| {
        (stage.blur, stage.drawn) = (blur, None);
        (1..8).for_each(|_| {
            stage.look();
            stage.watch.forget();
        });
        stage.watch.quality().unwrap().sharpness
    };
    let sharp = seen(&mut stage, 0.0);
    assert!(seen(&mut stage, 2.0) < 0.8 * sharp);
    assert!(seen(&mut stage, 0.0) > 0.9 * sharp);
}
