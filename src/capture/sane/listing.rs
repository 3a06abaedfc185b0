//! What `scanimage -A` lists: a device's options.

use std::collections::BTreeSet;

use cic_kiosk::config;

use super::Fault;

/// A device's options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// SANE's name of the device.
    pub device: String,
    /// Where it takes paper from, as it calls it, if it has a choice.
    pub source: Option<String>,
    options: BTreeSet<String>,
}

impl Listing {
    /// Of the program's text. Options are indented by four blanks, what explains them by more:
    /// `    --source Flatbed|ADF [Flatbed] [advanced]`, with the present value after the choice.
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("All options specific to device `") {
                listing.device = rest.trim_end_matches("':").to_owned();
            }
            let Some(option) = line.strip_prefix("    -") else { continue };
            let option = option.strip_prefix('-').unwrap_or(option);
            let end = option.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let name = &option[..end.unwrap_or(option.len())];
            if name == "source" {
                let value = option.split_once(" [").and_then(|(_, value)| value.split_once(']'));
                let value = value.map(|(value, _)| value.to_owned());
                listing.source = value.filter(|value| value != "inactive");
            }
            listing.options.insert(name.to_owned());
        }
        listing
    }

    /// Whether pages come one after the other by themselves. The standard has no word for it, and
    /// backends call it `ADF`, `ADF Duplex`, `Automatic Document Feeder` and the like.
    pub fn is_feeder(&self) -> bool {
        let source = self.source.as_deref().unwrap_or_default().to_ascii_lowercase();
        source.contains("adf") || source.contains("feeder")
    }

    /// Arguments that make the settings. Each one is a whole argument with its value, which so
    /// cannot be taken for another option; names are the device's own, so that none is understood
    /// as short for an option of the program. A device without a resolution or a mode has nothing to
    /// choose there.
    pub fn arguments(&self, settings: &config::Sane) -> Result<Vec<String>, Fault> {
        let mut arguments = Vec::new();
        // Others may depend on the source, and the mode's values on it.
        if let Some(source) = &settings.source {
            self.known("source", "sane.source")?;
            arguments.push(format!("--source={source}"));
        }
        if self.options.contains("mode") {
            arguments.push(format!("--mode={}", settings.mode));
        }
        if self.options.contains("resolution") {
            arguments.push(format!("--resolution={}", settings.dpi));
        }
        for (name, value) in &settings.options {
            let name = name.as_str();
            self.known(name, "sane.options")?;
            if value.is_empty() {
                // `-x` would take the next argument for its value.
                return Err(Fault::Failing(format!("sane.options: {name} has no value")));
            }
            arguments.push(match name.len() {
                // Those of the geometry: `-x210`.
                1 => format!("-{name}{value}"),
                _ => format!("--{name}={value}"),
            });
        }
        Ok(arguments)
    }

    fn known(&self, option: &str, setting: &str) -> Result<(), Fault> {
        if self.options.contains(option) {
            return Ok(());
        }
        Err(Fault::Failing(format!(
            "{setting}: the scanner has no option {option}; `scanimage -A` shows those that it has"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
All options specific to device `airscan:e0:A scanner':
  Standard:
    --resolution 75|300|600dpi [300]
        Sets the --dpi of the scanned image.
    --mode Color|Gray [Color]
    --source Flatbed|ADF Duplex [ADF Duplex] [advanced]
    --swcrop[=(yes|no)] [inactive]
  Geometry:
    -x 0..215.9mm [215.9]
";

    #[test]
    fn options_and_the_present_source_are_read_from_the_list() {
        let listing = Listing::parse(TEXT);
        assert_eq!(listing.device, "airscan:e0:A scanner");
        assert_eq!(listing.source.as_deref(), Some("ADF Duplex"));
        assert!(listing.is_feeder());
        let options: Vec<_> = listing.options.iter().map(String::as_str).collect();
        assert_eq!(options, ["mode", "resolution", "source", "swcrop", "x"]);
        let inactive = Listing::parse("    --source Flatbed [inactive]");
        assert!(inactive.source.is_none() && !inactive.is_feeder());
    }

    #[test]
    fn values_cannot_become_options_of_their_own() {
        let options = [("x", "-210"), ("swcrop", "--output-file=/etc/passwd")];
        let settings = config::Sane {
            mode: "--batch=x".to_owned(),
            options: options.map(|(n, v)| (n.parse().unwrap(), v.to_owned())).into(),
            ..config::Sane::default()
        };
        let arguments = Listing::parse(TEXT).arguments(&settings).unwrap();
        let expected = [
            "--mode=--batch=x",
            "--resolution=300",
            "--swcrop=--output-file=/etc/passwd",
            "-x-210",
        ];
        assert_eq!(arguments, expected);
    }

    #[test]
    fn option_that_the_device_does_not_have_is_named() {
        let settings = config::Sane {
            // Short for `--output-file`, if it were passed on.
            options: [("outp".parse().unwrap(), "x".to_owned())].into(),
            ..config::Sane::default()
        };
        let Err(Fault::Failing(words)) = Listing::parse(TEXT).arguments(&settings) else {
            panic!()
        };
        assert!(words.contains("outp"), "{words}");
    }

    #[test]
    fn device_without_resolution_and_mode_is_asked_for_neither() {
        let listing = Listing::parse("    --filename <string> [/tmp/input.ppm]");
        assert_eq!(listing.arguments(&config::Sane::default()), Ok(Vec::new()));
    }
}
