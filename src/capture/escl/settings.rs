//! What a scanner is asked for: `ScanSettings`.

use cic_kiosk::config;

use super::capabilities::{Capabilities, Input, Profile};
use crate::capture::Fault;

/// A4, in 1/300 inch.
const A4: (u32, u32) = (2480, 3508);

/// Reports are pictures of text: what JPEG loses is not seen.
const FORMAT: &str = "image/jpeg";

/// Where the paper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the feeder.
    Feeder,
    /// On the glass.
    Glass,
}

/// The settings of a job, out of what is wanted and what there is.
pub fn ticket(there: &Capabilities, place: Place, wanted: &config::Escl) -> Result<String, Fault> {
    let both_sides = place == Place::Feeder && wanted.duplex;
    let input = input(there, place, both_sides)?;
    let color = if wanted.color { "RGB24" } else { "Grayscale8" };
    let profile = profile(input, color)?;
    let dpi = nearest(&profile.resolutions, wanted.dpi.get());
    let within = |size: u32, (min, max): (u32, u32)| match max {
        0 => size,
        max => size.min(max).max(min),
    };
    let (width, height) = (within(A4.0, input.width), within(A4.1, input.height));
    let source = match place {
        Place::Feeder => "Feeder",
        Place::Glass => "Platen",
    };
    let format_ext = match has(&profile.formats_ext, FORMAT) {
        true => format!("<scan:DocumentFormatExt>{FORMAT}</scan:DocumentFormatExt>"),
        false => String::new(),
    };
    let duplex = match place {
        Place::Feeder => format!("<scan:Duplex>{both_sides}</scan:Duplex>"),
        Place::Glass => String::new(),
    };
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<scan:ScanSettings xmlns:pwg="http://www.pwg.org/schemas/2010/12/sm" xmlns:scan="http://schemas.hp.com/imaging/escl/2011/05/03">
<pwg:Version>{}</pwg:Version>
<pwg:ScanRegions><pwg:ScanRegion>
<pwg:ContentRegionUnits>escl:ThreeHundredthsOfInches</pwg:ContentRegionUnits>
<pwg:XOffset>0</pwg:XOffset><pwg:YOffset>0</pwg:YOffset>
<pwg:Width>{width}</pwg:Width><pwg:Height>{height}</pwg:Height>
</pwg:ScanRegion></pwg:ScanRegions>
<pwg:InputSource>{source}</pwg:InputSource>
<scan:XResolution>{dpi}</scan:XResolution><scan:YResolution>{dpi}</scan:YResolution>
<scan:ColorMode>{color}</scan:ColorMode>
<pwg:DocumentFormat>{FORMAT}</pwg:DocumentFormat>{format_ext}
{duplex}
</scan:ScanSettings>
"#,
        there.version
    ))
}

fn input(there: &Capabilities, place: Place, both_sides: bool) -> Result<&Input, Fault> {
    let (input, lacks) = match (place, both_sides) {
        (Place::Glass, _) => (&there.glass, "no glass: set escl.tray to \"feeder\""),
        (Place::Feeder, true) => {
            (&there.duplex, "no feeder for both sides: set escl.duplex to false")
        }
        (Place::Feeder, false) => {
            (&there.feeder, "no feeder for one side: set escl.tray to \"glass\"")
        }
    };
    input.as_ref().ok_or_else(|| Fault::Failing(format!("the scanner has {lacks}")))
}

fn profile<'a>(input: &'a Input, color: &str) -> Result<&'a Profile, Fault> {
    let fits = |profile: &&Profile| {
        let silent = profile.formats.is_empty() && profile.formats_ext.is_empty();
        has(&profile.colors, color)
            && (silent || has(&profile.formats, FORMAT) || has(&profile.formats_ext, FORMAT))
    };
    input.profiles.iter().find(fits).ok_or_else(|| {
        let other = if color == "RGB24" { "false" } else { "true" };
        Fault::Failing(format!(
            "the scanner does not offer {color} as JPEG: set escl.color to {other}, or use another scanner"
        ))
    })
}

fn has(offered: &[String], wanted: &str) -> bool {
    offered.iter().any(|it| it == wanted)
}

/// Of two that are as near, the higher. A scanner that offers none is asked for what is wanted.
fn nearest(offered: &[u32], wanted: u32) -> u32 {
    let by_distance = |dpi: &&u32| (dpi.abs_diff(wanted), u32::MAX - **dpi);
    offered.iter().min_by_key(by_distance).copied().unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::capabilities::tests::{AIRSANE, CANON, OFFICEJET};
    use super::*;

    fn asked(xml: &str, place: Place, wanted: &config::Escl) -> Result<String, String> {
        let there = Capabilities::read(xml).unwrap();
        let ticket = ticket(&there, place, wanted).map_err(|fault| fault.to_string())?;
        assert!(roxmltree::Document::parse(&ticket).is_ok());
        Ok(ticket)
    }

    fn has(ticket: &str, members: &[&str]) {
        for member in members {
            assert!(ticket.contains(member), "{member} in {ticket}");
        }
    }

    #[test]
    fn a4_in_colour_is_cut_to_what_the_scanner_reaches() {
        let ticket = asked(AIRSANE, Place::Glass, &config::Escl::default()).unwrap();
        has(
            &ticket,
            &[
                "<pwg:Version>2.0<",
                "<pwg:Width>2362<",
                "<pwg:Height>2362<",
                "<pwg:InputSource>Platen<",
                "<scan:XResolution>300<",
                "<scan:YResolution>300<",
                "<scan:ColorMode>RGB24<",
                "<pwg:DocumentFormat>image/jpeg<",
            ],
        );
        assert!(!ticket.contains("Duplex") && !ticket.contains("Ext"));
    }

    #[test]
    fn both_sides_are_asked_for_in_the_scanners_own_version() {
        let wanted = config::Escl { duplex: true, ..config::Escl::default() };
        let ticket = asked(OFFICEJET, Place::Feeder, &wanted).unwrap();
        has(
            &ticket,
            &[
                "<pwg:Version>2.5<",
                "<pwg:Width>2480<",
                "<pwg:Height>3507<",
                "<pwg:InputSource>Feeder<",
                "<scan:Duplex>true<",
                "<scan:DocumentFormatExt>image/jpeg<",
            ],
        );
    }

    #[test]
    fn nearest_resolution_that_is_offered_is_taken() {
        let dpi =
            |dpi| config::Escl { dpi: NonZeroU32::new(dpi).unwrap(), ..config::Escl::default() };
        let x = |dpi: u32| format!("<scan:XResolution>{dpi}<");
        for (wanted, taken) in [(1, 75), (150, 200), (140, 100), (300, 300), (9999, 300)] {
            has(&asked(OFFICEJET, Place::Feeder, &dpi(wanted)).unwrap(), &[&x(taken)]);
        }
        has(&asked(CANON, Place::Glass, &dpi(310)).unwrap(), &[&x(300)]);
    }

    #[test]
    fn what_is_not_offered_is_said_with_the_key_to_change() {
        let wanted = config::Escl { duplex: true, ..config::Escl::default() };
        let refused = |xml, place, wanted: &_| asked(xml, place, wanted).unwrap_err();
        assert_eq!(
            refused(AIRSANE, Place::Feeder, &wanted),
            "the scanner has no feeder for both sides: set escl.duplex to false"
        );
        let color = refused(CANON, Place::Feeder, &config::Escl::default());
        assert!(color.contains("set escl.color to false"), "{color}");
        let gray = config::Escl { color: false, ..config::Escl::default() };
        has(&asked(CANON, Place::Feeder, &gray).unwrap(), &["<scan:ColorMode>Grayscale8<"]);
        let pdf = OFFICEJET.replace("image/jpeg", "image/x");
        let pdf = refused(&pdf, Place::Glass, &config::Escl::default());
        assert!(pdf.contains("as JPEG"), "{pdf}");
    }
}
