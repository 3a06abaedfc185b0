//! What the kernel says of the machine and of this program: a few small files of `/proc` and `/sys`.
//!
//! Promises: what a machine does not say is `None`, never a guess; nothing is written, nothing is
//! started, and no file is read to more than 64 KiB.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than any of these files has.
const MAX_BYTES: u64 = 64 << 10;

/// Characters of a name that firmware gives.
const NAME: usize = 120;

/// The bits of a Raspberry Pi's firmware for what is wrong now: voltage, and three kinds of being
/// slowed down. The upper ones tell of what was.
const PI_NOW: u32 = 0xf;

/// Cooling devices that slow a processor down.
const SLOWING: [&str; 4] = ["thermal-cpufreq", "cpufreq", "thermal-devfreq", "thermal-idle"];

/// Where to read.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

/// What this machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What the board is called.
    pub board: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Of the time since it was started.
    pub boot_id: Option<String>,
}

/// How it does now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Processor time since the start, of all processors and of this program.
    pub cpu: Option<Cpu>,
    /// Memory that this program has, in bytes.
    pub resident_bytes: Option<u64>,
    /// Memory that could still be had, in bytes.
    pub available_bytes: Option<u64>,
    /// All memory, in bytes.
    pub total_bytes: Option<u64>,
    /// The hottest sensor, in °C.
    pub temperature: Option<f64>,
    /// Whether the processor is slowed down now, for heat or voltage.
    pub throttled: Option<bool>,
    /// Seconds since the machine was started.
    pub uptime: Option<u64>,
}

/// Processor time in ticks, all processors together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// All of it.
    pub all: u64,
    /// In which nothing was done.
    pub idle: u64,
    /// This program's.
    pub own: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Machine {
    /// With `/proc` and `/sys` below this folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// What this machine is.
    pub fn identity(&self) -> Identity {
        let first = |paths: [&str; 2]| paths.iter().find_map(|path| self.name(path));
        Identity {
            board: first(["sys/firmware/devicetree/base/model", "sys/class/dmi/id/product_name"]),
            serial: first([
                "sys/firmware/devicetree/base/serial-number",
                "sys/class/dmi/id/product_serial",
            ]),
            boot_id: self.name("proc/sys/kernel/random/boot_id"),
        }
    }

    /// How it does now.
    pub fn readings(&self) -> Readings {
        let memory = self.text("proc/meminfo");
        let memory = |key| kibibytes(memory.as_deref()?, key);
        let status = self.text("proc/self/status");
        let uptime = self.text("proc/uptime");
        let seconds = |text: &str| text.split('.').next()?.parse().ok();
        Readings {
            cpu: self.cpu(),
            resident_bytes: status.as_deref().and_then(|text| kibibytes(text, "VmRSS:")),
            available_bytes: memory("MemAvailable:"),
            total_bytes: memory("MemTotal:"),
            temperature: self.temperature(),
            throttled: self.throttled(),
            uptime: uptime.as_deref().and_then(seconds),
        }
    }

    fn cpu(&self) -> Option<Cpu> {
        let all = self.text("proc/stat")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user's already.
        let ticks: Vec<u64> = numbers(all.lines().next()?.strip_prefix("cpu ")?).take(8).collect();
        let own = self.text("proc/self/stat")?;
        // The program's name, in brackets, may hold anything. Behind it, utime and stime are the
        // 12th and 13th field.
        let own: Vec<u64> = own
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .skip(11)
            .take(2)
            .map_while(|field| field.parse().ok())
            .collect();
        Some(Cpu {
            all: ticks.iter().sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
            own: own.iter().sum(),
        })
    }

    /// Of the hottest zone: they are named differently on each board.
    fn temperature(&self) -> Option<f64> {
        let zones = self.entries("sys/class/thermal", "thermal_zone").into_iter();
        let zones = zones.map(|zone| zone.join("temp"));
        let sensors = self.entries("sys/class/hwmon", "hwmon").into_iter();
        let sensors = sensors.map(|sensor| sensor.join("temp1_input"));
        let read = |path: PathBuf| read(&path)?.trim().parse::<i64>().ok();
        let hottest = zones.filter_map(read).max().or_else(|| sensors.filter_map(read).max());
        // What is beyond this is a sensor that is not connected.
        let hottest = hottest.filter(|millidegrees| (-60_000..=200_000).contains(millidegrees));
        hottest.map(|millidegrees| millidegrees as f64 / 1000.0)
    }

    fn throttled(&self) -> Option<bool> {
        let pi = self.text("sys/devices/platform/soc/soc:firmware/get_throttled");
        let pi = pi.and_then(|bits| u32::from_str_radix(bits.trim(), 16).ok());
        let pi = pi.map(|bits| bits & PI_NOW != 0);
        let cooling = self.entries("sys/class/thermal", "cooling_device").into_iter();
        let slows = cooling.filter(|device| {
            let kind = read(&device.join("type")).unwrap_or_default();
            SLOWING.iter().any(|slowing| kind.starts_with(slowing))
        });
        let at_work = slows
            .filter_map(|device| read(&device.join("cur_state"))?.trim().parse::<u64>().ok())
            .map(|state| state > 0)
            .reduce(|one, other| one || other);
        match (pi, at_work) {
            (None, None) => None,
            (pi, at_work) => Some(pi == Some(true) || at_work == Some(true)),
        }
    }

    fn entries(&self, folder: &str, prefix: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let fits = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|it| it.starts_with(prefix))
        };
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(fits).collect()
    }

    fn text(&self, path: &str) -> Option<String> {
        read(&self.root.join(path))
    }

    /// What firmware calls something: a line without what a terminal would obey, or nothing.
    fn name(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let name: String = text.chars().filter(|c| !c.is_control()).take(NAME).collect();
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// `None` where it cannot be read, or is no text.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split_whitespace().map_while(|field| field.parse().ok())
}

/// `MemTotal:  1024 kB` in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    numbers(line).next()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;

    fn machine(files: &[(&str, &str)]) -> (TempDir, Machine) {
        let folder = tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::at(folder.path());
        (folder, machine)
    }

    #[test]
    fn board_of_an_arm_machine_is_told_by_its_device_tree() {
        let (_folder, machine) = machine(&[
            ("sys/firmware/devicetree/base/model", "Radxa ROCK 5B\0"),
            ("sys/firmware/devicetree/base/serial-number", "1a2b\0"),
            ("proc/sys/kernel/random/boot_id", "3d1c\n"),
        ]);
        let [board, serial, boot] = ["Radxa ROCK 5B", "1a2b", "3d1c"].map(|it| Some(it.to_owned()));
        assert_eq!(machine.identity(), Identity { board, serial, boot_id: boot });
    }

    #[test]
    fn what_a_machine_does_not_say_is_not_guessed() {
        let (_folder, machine) = machine(&[("proc/meminfo", "MemTotal: many kB\n")]);
        assert_eq!(machine.identity(), Identity::default());
        assert_eq!(machine.readings(), Readings::default());
    }

    #[test]
    fn readings_are_those_of_the_kernels_files() {
        let (_folder, machine) = machine(&[
            ("proc/stat", "cpu  10 1 20 100 5 0 2 3 7 0\ncpu0 5 5 5 5\n"),
            ("proc/self/stat", "7 (a) b c) S 1 1 1 0 -1 0 0 0 0 0 40 2 0 0 20 0 1 0 5\n"),
            ("proc/self/status", "Name:\ta\nVmRSS:\t  2048 kB\n"),
            ("proc/meminfo", "MemTotal:  4096 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n"),
            ("proc/uptime", "93.21 180.00\n"),
            ("sys/class/thermal/thermal_zone0/temp", "41000\n"),
            ("sys/class/thermal/thermal_zone1/temp", "53500\n"),
        ]);
        assert_eq!(
            machine.readings(),
            Readings {
                cpu: Some(Cpu { all: 141, idle: 105, own: 42 }),
                resident_bytes: Some(2 << 20),
                available_bytes: Some(1 << 20),
                total_bytes: Some(4 << 20),
                temperature: Some(53.5),
                throttled: None,
                uptime: Some(93),
            }
        );
    }

    #[test]
    fn processor_is_slowed_down_where_a_cooling_device_or_the_firmware_says_so() {
        let fan = ("sys/class/thermal/cooling_device0/type", "pwm-fan\n");
        let turns = ("sys/class/thermal/cooling_device0/cur_state", "2\n");
        let slows = ("sys/class/thermal/cooling_device1/type", "thermal-cpufreq-0\n");
        let [off, on] =
            ["0\n", "3\n"].map(|it| ("sys/class/thermal/cooling_device1/cur_state", it));
        let pi = |bits| ("sys/devices/platform/soc/soc:firmware/get_throttled", bits);
        for (files, expected) in [
            (vec![fan, turns], None),
            (vec![fan, turns, slows, off], Some(false)),
            (vec![slows, on], Some(true)),
            (vec![pi("50000\n")], Some(false)),
            (vec![pi("50005\n"), slows, off], Some(true)),
        ] {
            let (_folder, machine) = machine(&files);
            assert_eq!(machine.readings().throttled, expected, "{files:?}");
        }
    }

    #[test]
    fn this_machine_says_something() {
        let readings = Machine::default().readings();
        assert!(readings.resident_bytes > Some(1 << 20) && readings.uptime.is_some());
        assert!(readings.cpu.is_some_and(|cpu| cpu.all > cpu.idle && cpu.idle > 0));
    }
}
