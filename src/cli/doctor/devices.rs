//! The devices that pages come from, and the panel.

use std::fs;
use std::sync::Arc;

use cic_kiosk::config::Config;
use rustix::fs::{Access, access};

use super::check::{Check, Finding};

/// Files that failed which are counted; there may be very many.
const MOST_COUNTED: usize = 1000;

/// One line for each device.
pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let of = |check: fn(&Config) -> Finding| {
        let config = Arc::clone(config);
        move || check(&config)
    };
    vec![Check::blocking("folder", of(folder))]
}

fn folder(config: &Config) -> Finding {
    let Some(path) = &config.folder.watch else { return Finding::off("folder.watch is not set") };
    match fs::metadata(path) {
        Err(error) => {
            return Finding::fault(
                format!("folder.watch cannot be looked at: {error}"),
                "create it, or mount the share that it is on",
            );
        }
        Ok(folder) if !folder.is_dir() => {
            return Finding::fault("folder.watch is no folder", "name a folder");
        }
        Ok(_) => {}
    }
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return Finding::fault(
            format!("this user may not work in folder.watch: {error}"),
            "let the kiosk's user read and write there, and mount it writable",
        );
    }
    for name in ["done", "failed"] {
        if fs::symlink_metadata(path.join(name)).is_ok_and(|aside| !aside.is_dir()) {
            return Finding::fault(
                format!("`{name}` in folder.watch is a link or a file"),
                "remove it: the kiosk makes a folder there",
            );
        }
    }
    let failed = fs::read_dir(path.join("failed"));
    match failed.map_or(0, |entries| entries.take(MOST_COUNTED).count()) {
        0 => Finding::ok("it is there, and can be written to"),
        failed => Finding::warning(
            format!("{failed} files are in `failed`, those with the reasons among them"),
            "look at them, scan those papers again, and remove them",
        ),
    }
}
