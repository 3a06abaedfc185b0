//! What a scanner can do: `ScannerCapabilities`.

use roxmltree::Node;

use super::xml::{is, member, members, number, parse, text, texts};
use crate::capture::shown;

/// The highest resolution that is looked for, in dpi.
const MAX_DPI: u32 = 9600;

/// What a scanner says that it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of the standard that it speaks.
    pub version: String,
    /// Maker and model.
    pub model: String,
    /// The glass.
    pub glass: Option<Input>,
    /// The feeder, one side.
    pub feeder: Option<Input>,
    /// The feeder, both sides.
    pub duplex: Option<Input>,
    /// Sheets that the feeder holds.
    pub sheets: Option<u32>,
}

/// One way for paper into the scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The narrowest and the widest that it scans, in 1/300 inch.
    pub width: (u32, u32),
    /// The shortest and the longest, in 1/300 inch.
    pub height: (u32, u32),
    /// What can be asked for together.
    pub profiles: Vec<Profile>,
}

/// Settings that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As `RGB24`.
    pub colors: Vec<String>,
    /// As `image/jpeg`.
    pub formats: Vec<String>,
    /// The same, in the member that newer versions have for it.
    pub formats_ext: Vec<String>,
    /// In dpi, the same in both directions.
    pub resolutions: Vec<u32>,
}

impl Capabilities {
    /// Reads them, where there are any.
    pub fn read(xml: &str) -> Option<Self> {
        let document = parse(xml, "ScannerCapabilities")?;
        let root = document.root_element();
        let adf = member(root, "Adf");
        let input = |node: Option<Node>, name| Some(Input::read(member(node?, name)?));
        Some(Self {
            version: text(root, "Version").filter(|it| is_version(it)).unwrap_or("2.0").to_owned(),
            model: shown(text(root, "MakeAndModel").unwrap_or_default()),
            glass: input(member(root, "Platen"), "PlatenInputCaps"),
            feeder: input(adf, "AdfSimplexInputCaps"),
            duplex: input(adf, "AdfDuplexInputCaps"),
            sheets: adf.and_then(|adf| number(adf, "FeederCapacity")),
        })
    }

    /// Whether there is a feeder.
    pub fn has_feeder(&self) -> bool {
        self.feeder.is_some() || self.duplex.is_some()
    }
}

impl Input {
    fn read(caps: Node) -> Self {
        let profiles = members(caps, "SettingProfiles")
            .flat_map(|profiles| members(profiles, "SettingProfile"))
            .filter_map(|profile| match profile.attribute("ref") {
                None => Some(profile),
                Some(name) => shared(caps, name),
            })
            .map(Profile::read)
            .collect();
        let span = |min, max| (number(caps, min).unwrap_or(0), number(caps, max).unwrap_or(0));
        Self {
            width: span("MinWidth", "MaxWidth"),
            height: span("MinHeight", "MaxHeight"),
            profiles,
        }
    }
}

/// The profile of this name, which several inputs have in common.
fn shared<'a, 'b: 'a>(caps: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    let mut profiles = caps.document().root().descendants().filter(|it| is(it, "SettingProfile"));
    profiles.find(|profile| profile.attribute("name") == Some(name))
}

impl Profile {
    fn read(profile: Node) -> Self {
        Self {
            colors: texts(profile, "ColorMode"),
            formats: texts(profile, "DocumentFormat"),
            formats_ext: texts(profile, "DocumentFormatExt"),
            resolutions: resolutions(profile),
        }
    }
}

/// Single ones, and ranges. Where the range's members stand differs from scanner to scanner.
fn resolutions(profile: Node) -> Vec<u32> {
    let named = |name: &'static str| {
        profile.descendants().filter(move |node| node.tag_name().name() == name)
    };
    let single = named("DiscreteResolution").filter_map(|node| {
        let x = number(node, "XResolution")?;
        (number(node, "YResolution") == Some(x)).then_some(x)
    });
    let range = |name| named(name).next().map(steps).unwrap_or_default();
    let down = range("YResolutionRange");
    let both = range("XResolutionRange").into_iter().filter(|dpi| down.contains(dpi));
    single.chain(both).filter(|dpi| (1..=MAX_DPI).contains(dpi)).collect()
}

fn steps(range: Node) -> Vec<u32> {
    let step = number(range, "Step").unwrap_or(1).max(1) as usize;
    match (number(range, "Min"), number(range, "Max")) {
        (Some(min), Some(max)) => (min..=max.min(MAX_DPI)).step_by(step).collect(),
        _ => Vec::new(),
    }
}

fn is_version(text: &str) -> bool {
    text.len() < 10
        && text.starts_with('2')
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// As AirSane 0.4 answers in front of SANE's backend `test`, shortened.
    pub const AIRSANE: &str = include_str!("samples/airsane.xml");
    /// As an office machine of HP answers, shortened: discrete resolutions, two sides, no one profile
    /// for all.
    pub const OFFICEJET: &str = include_str!("samples/officejet.xml");
    /// As a machine of Canon answers, shortened: profiles by name, ranges of resolutions.
    pub const CANON: &str = include_str!("samples/canon.xml");

    #[test]
    fn sane_server_has_glass_and_a_feeder_for_one_side() {
        let found = Capabilities::read(AIRSANE).unwrap();
        assert_eq!((found.version.as_str(), found.sheets), ("2.0", None));
        assert_eq!(found.model, "Noname frontend-tester");
        assert!(found.glass.is_some() && found.feeder.is_some() && found.duplex.is_none());
        let glass = found.glass.unwrap();
        assert_eq!((glass.width, glass.height), ((0, 2362), (0, 2362)));
        assert_eq!(glass.profiles.len(), 1);
        let profile = &glass.profiles[0];
        assert_eq!(profile.colors, ["Grayscale8", "Grayscale16", "RGB24", "RGB48"]);
        assert_eq!(profile.formats, ["application/pdf", "image/jpeg", "image/png"]);
        assert_eq!(profile.resolutions, [1, 75, 150, 300, 600, 1200]);
        assert!(profile.formats_ext.is_empty());
    }

    #[test]
    fn office_machine_has_its_own_profile_for_each_input() {
        let found = Capabilities::read(OFFICEJET).unwrap();
        assert_eq!((found.version.as_str(), found.sheets), ("2.5", Some(50)));
        let resolutions = |input: Option<Input>| input.unwrap().profiles[0].resolutions.clone();
        assert_eq!(resolutions(found.glass), [75, 100, 200, 300, 600, 1200]);
        assert_eq!(resolutions(found.feeder), [75, 100, 200, 300]);
        let duplex = found.duplex.unwrap();
        assert_eq!((duplex.width, duplex.height), ((1748, 2550), (2480, 3507)));
        assert_eq!(duplex.profiles[0].formats_ext, ["image/jpeg", "application/pdf"]);
    }

    #[test]
    fn profiles_are_found_by_their_names_and_ranges_are_counted_out() {
        let found = Capabilities::read(CANON).unwrap();
        let feeder = found.feeder.unwrap();
        assert_eq!(feeder.profiles[0].colors, ["BlackAndWhite1", "Grayscale8"]);
        // 100 × 200 is none: its pixels are not square.
        assert_eq!(feeder.profiles[0].resolutions, [300]);
        let glass = found.glass.unwrap();
        // Both directions have it: from 150 to 600, in steps of 50.
        assert_eq!(glass.profiles[0].resolutions, (150..=600).step_by(50).collect::<Vec<_>>());
    }

    #[test]
    fn absurd_ranges_stay_small() {
        let xml = CANON.replace("<scan:Max>800<", "<scan:Max>4294967295<");
        let xml = xml.replace("<scan:Step>50<", "<scan:Step>0<");
        let glass = Capabilities::read(&xml).unwrap().glass.unwrap();
        assert!(glass.profiles[0].resolutions.len() <= MAX_DPI as usize);
    }

    #[test]
    fn what_is_no_capabilities_is_none() {
        for text in ["", "garbage", "<html/>", &AIRSANE[..AIRSANE.len() / 2]] {
            assert_eq!(Capabilities::read(text), None);
        }
    }

    #[test]
    fn version_that_is_none_becomes_the_first() {
        let xml = AIRSANE.replace(">2.0<", ">2.0&lt;/x&gt;<");
        assert_eq!(Capabilities::read(&xml).unwrap().version, "2.0");
    }
}
