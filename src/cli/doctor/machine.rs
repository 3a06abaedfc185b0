//! The machine: state folder, disk, clock, and what the system allows.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use cic_kiosk::config::Config;
use jiff::Timestamp;
use rustix::fs::{Access, access, statvfs};

use super::check::{Check, Finding};

/// Descriptors that the program needs beside those of connections: files, models, devices.
const OWN_DESCRIPTORS: u64 = 100;

/// Bytes that reading one document takes beside the document, measured.
const READING_BYTES: u64 = 350 << 20;

/// Before this the program did not exist: 2026-01-01 UTC.
const EARLIEST: i64 = 1_767_225_600;

/// Where systemd-timesyncd says that it has the time.
const TIMESYNC: &str = "/run/systemd/timesync";

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let of = |check: fn(&Config) -> Finding| {
        let config = Arc::clone(config);
        move || check(&config)
    };
    vec![
        Check::blocking("kiosk", of(kiosk)),
        Check::blocking("state", of(state)),
        Check::blocking("disk", of(disk)),
        Check::blocking("clock", clock),
        Check::blocking("descriptors", of(descriptors)),
        Check::blocking("memory", of(memory)),
    ]
}

fn kiosk(config: &Config) -> Finding {
    match (&config.kiosk.branch, &config.kiosk.id) {
        (Some(branch), Some(id)) => Finding::ok(format!("{id} of {branch}")),
        (None, _) => Finding::fault("kiosk.branch is not set", "set it to the branch's name"),
        (_, None) => Finding::fault("kiosk.id is not set", "set it to this kiosk's name"),
    }
}

fn state(config: &Config) -> Finding {
    let path = &config.kiosk.state;
    let folder = match fs::metadata(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::warning(
                format!("{} is not there yet", path.display()),
                "nothing, before the first start: `cic-kiosk run` makes it; or set kiosk.state",
            );
        }
        Err(error) => {
            return Finding::fault(
                format!("{} cannot be looked at: {error}", path.display()),
                "run this as the kiosk's user, and let it reach kiosk.state",
            );
        }
    };
    let place = path.display();
    if !folder.is_dir() {
        return Finding::fault(format!("{place} is no folder"), "let kiosk.state name a folder");
    }
    let user = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    if user != 0 && folder.uid() != user {
        return Finding::fault(
            format!("{place} belongs to the user {}, and this is {user}", folder.uid()),
            "run this as the kiosk's user, or give it the folder with chown -R",
        );
    }
    let mode = folder.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Finding::fault(
            format!("{place} is open to other users (mode {mode:04o})"),
            format!("chmod 700 {place}"),
        );
    }
    match access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(place.to_string()),
        Err(error) => Finding::fault(
            format!("{place} cannot be written to: {error}"),
            "let the kiosk's user write there, and see that its disk is not read-only",
        ),
    }
}

fn disk(config: &Config) -> Finding {
    let there = config.kiosk.state.ancestors().find(|path| path.exists());
    let least = config.outbox.min_free_bytes;
    match statvfs(there.unwrap_or(Path::new("/"))) {
        Err(error) => Finding::fault(
            format!("nobody knows how much is free: {error}"),
            "check the disk of kiosk.state",
        ),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} MiB are free", free >> 20);
            let to_do = "make room on the disk of kiosk.state";
            if free < least {
                let found =
                    format!("{found}, {} MiB are needed (outbox.min_free_bytes)", least >> 20);
                Finding::fault(found, to_do)
            } else if free / 4 < least {
                Finding::warning(found, to_do)
            } else {
                Finding::ok(found)
            }
        }
    }
}

fn clock() -> Finding {
    let now = Timestamp::now();
    let to_do = "set it, and let it be set over the network (systemd-timesyncd or chrony): without \
                 the right time certificates are refused";
    let built = std::env::current_exe().and_then(|program| program.metadata()?.modified());
    let is_early = built.is_ok_and(|built| built > SystemTime::now());
    if now.as_second() < EARLIEST || is_early {
        return Finding::fault(format!("{now:.0} is before this program was made"), to_do);
    }
    let timesync = Path::new(TIMESYNC);
    if timesync.join("synchronized").exists() {
        Finding::ok(format!("{now:.0}, set over the network"))
    } else if timesync.exists() {
        Finding::warning(format!("{now:.0}, not set over the network yet"), to_do)
    } else {
        Finding::ok(format!("{now:.0}; whether it is set over the network is unknown"))
    }
}

fn descriptors(config: &Config) -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let Some(soft) = soft.and_then(|soft| soft.parse::<u64>().ok()) else {
        return Finding::ok("no limit is known");
    };
    let connections = if config.http.enabled { config.http.max_connections as u64 } else { 0 };
    let need = connections.saturating_add(OWN_DESCRIPTORS);
    let found = format!("{soft} files may be open, {need} are needed");
    if soft < need {
        let to_do = "raise LimitNOFILE= of the service (here: ulimit -n), or lower \
                     http.max_connections";
        return Finding::fault(found, to_do);
    }
    Finding::ok(found)
}

fn memory(config: &Config) -> Finding {
    let Some(there) = [machines_memory(), groups_memory()].into_iter().flatten().min() else {
        return Finding::ok("how much there is is unknown");
    };
    let held =
        if config.http.enabled { config.http.max_held_bytes } else { config.limits.max_bytes };
    let need = READING_BYTES.saturating_add(held as u64);
    let found = format!("{} MiB, up to {} MiB are needed", there >> 20, need >> 20);
    if there < need {
        let to_do = "lower http.max_held_bytes or reading.threads, or raise MemoryMax= of the \
                     service";
        return Finding::fault(found, to_do);
    }
    Finding::ok(found)
}

fn machines_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The least of the limits of the control groups that this process is in.
fn groups_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let groups = Path::new(group).ancestors().map(|group| root.join(group).join("memory.max"));
    groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}
