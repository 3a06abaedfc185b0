//! The devices that pages come from, and the panel.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::config::Config;
use rustix::fs::{Access, access};
use serde_json::Value as Json;
use tokio::task::spawn_blocking;

use super::check::{Check, Finding};
use crate::capture::escl::{Escl, Report, discover};
use crate::capture::{Fault, Source, State, camera, sane};
use crate::daemon::submit::Client;
use crate::panel::{self, Part};

/// Files that failed which are counted; there may be very many.
const MOST_COUNTED: usize = 1000;

/// For scanners in the network to announce themselves.
const DISCOVERY: Duration = Duration::from_secs(2);

/// One line for each device.
pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let of = |check: fn(&Config) -> Finding| {
        let config = Arc::clone(config);
        move || check(&config)
    };
    let [one, two, three] = [(); 3].map(|()| Arc::clone(config));
    vec![
        Check::blocking("folder", of(folder)),
        Check::new("camera", in_use_or(Source::Camera, Arc::clone(config), camera(one))),
        Check::new("escl", in_use_or(Source::Escl, Arc::clone(config), escl(two))),
        Check::new("sane", in_use_or(Source::Sane, Arc::clone(config), sane(three))),
        Check::blocking("panel", of(panel)),
    ]
}

/// What the service says of a device that it uses; where it runs not, or uses it not, what there is
/// to see of the device itself.
async fn in_use_or(
    source: Source,
    config: Arc<Config>,
    look: impl Future<Output = Finding>,
) -> Finding {
    let client = Client::new(&config.kiosk.socket).ok();
    let standing = match client {
        Some(client) => client.sources().await.ok(),
        None => None,
    };
    let standing = standing.as_ref().and_then(Json::as_array).into_iter().flatten();
    let Some(standing) = standing.into_iter().find(|it| it["source"] == source.as_str()) else {
        return look.await;
    };
    let state = standing["state"].as_str().unwrap_or_default();
    match standing["reason"].as_str() {
        None => Finding::ok(format!("{state}, says the service, which uses it")),
        Some(reason) if state == "asking" => Finding::warning("a person has to act", reason),
        Some(reason) => Finding::fault(format!("{state}, says the service"), reason),
    }
}

/// What a fault of a device says is what there is to do, too.
fn device_fault(fault: &Fault, section: &str) -> Finding {
    Finding::fault(fault.to_string(), format!("mend that, or [{section}] of the configuration"))
}

/// V4L2 blocks for as long as a device pleases.
async fn camera(config: Arc<Config>) -> Finding {
    let looked = spawn_blocking(move || look_at_camera(&config)).await;
    looked.unwrap_or_else(|_| Finding::fault("the check failed", "see the log"))
}

fn look_at_camera(config: &Config) -> Finding {
    if !config.camera.enabled {
        return match &camera::list(&config.camera)[..] {
            [] => Finding::off("camera.enabled is false, and there is none"),
            found => {
                let names: Vec<_> = found.iter().map(camera::Found::stable_name).collect();
                Finding::off(format!("camera.enabled is false; there are {}", names.join(", ")))
            }
        };
    }
    match camera::probe(&config.camera) {
        Ok(camera::Probed { mode, refused }) if refused.is_empty() => Finding::ok(mode.to_string()),
        Ok(camera::Probed { mode, refused }) => Finding::warning(
            format!("{mode}; it refuses {}", refused.join(", ")),
            "light and distance must not change then, or use another camera",
        ),
        Err(fault) => device_fault(&fault, "camera"),
    }
}

async fn escl(config: Arc<Config>) -> Finding {
    if !config.escl.enabled {
        let found: Vec<_> = discover(DISCOVERY).await.into_iter().map(|it| it.name).collect();
        return Finding::off(match &found[..] {
            [] => "escl.enabled is false, and none announces itself".to_owned(),
            names => format!("escl.enabled is false; there are {}", names.join(", ")),
        });
    }
    let scanner = Escl::new(config.escl.clone(), config.limits.max_bytes);
    let scanner = match scanner {
        Ok(scanner) => scanner,
        Err(error) => return Finding::fault(error, "mend [escl] of the configuration"),
    };
    match scanner.probe().await {
        Ok(Report { model, trays, state }) => {
            let found = format!("{model}, {}", trays.join(" and "));
            match state {
                State::Ready | State::Busy => Finding::ok(found),
                State::Asking(ask) | State::Absent(ask) | State::Failing(ask) => {
                    Finding::warning(found, ask)
                }
            }
        }
        Err(fault) => device_fault(&fault, "escl"),
    }
}

async fn sane(config: Arc<Config>) -> Finding {
    if !config.sane.enabled {
        return Finding::off("sane.enabled is false");
    }
    match sane::probe(&config.sane).await {
        Ok(sane::Probe { version, device, source }) => {
            let source = source.map_or_else(String::new, |source| format!(", {source}"));
            Finding::ok(format!("{device}{source}; scanimage {version}"))
        }
        Err(fault) => device_fault(&fault, "sane"),
    }
}

fn panel(config: &Config) -> Finding {
    match panel::probe(&config.panel) {
        Ok(None) => Finding::off("panel.chip is not set"),
        Ok(Some((chip, parts))) => {
            let line = |it: &Part| match &it.used_by {
                Some(user) => format!("{} on {}, used by {user}", it.part, it.line),
                None => format!("{} on {}", it.part, it.line),
            };
            let lines: Vec<_> = parts.iter().map(line).collect();
            Finding::ok(format!("{chip}: {}", lines.join("; ")))
        }
        Err(error) => Finding::fault(error.to_string(), "mend that, or [panel]"),
    }
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
