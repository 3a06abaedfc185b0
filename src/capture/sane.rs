//! Document scanners through SANE's program `scanimage`.
