//! The source on a real V4L2 device: the kernel's module vivid. These tests load modules and take
//! devices away, so they run in the virtual machine alone:
//!
//! ```text
//! scripts/vm.sh run target/debug/deps/cic_kiosk-HASH camera::vivid --ignored --test-threads=1
//! ```

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::page::Gate;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Camera;
use super::device;
use super::mode::{Mode, Pixels};
use super::pixels::Frame;
use super::thread::Device;
use crate::capture::{Event, Order, Outlet, Port, Source, State, Taken, keep_at_work};

/// Far longer than anything takes, on a machine that is emulated.
const LONG: Duration = Duration::from_secs(240);

/// A webcam, the only device of the module.
struct Vivid;

impl Vivid {
    fn load() -> Self {
        assert!(std::env::var_os("CIC_KIOSK_VM").is_some(), "only in the virtual machine");
        run("modprobe", &["vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0"]);
        let vivid = Self;
        // A picture that stands still.
        vivid.set("osd_text_mode=2");
        vivid
    }

    fn set(&self, control: &str) {
        run("v4l2-ctl", &["-d", &self.node().to_string_lossy(), "-c", control]);
    }

    /// Its node, once it is there; another one after each time that it was plugged in.
    fn node(&self) -> PathBuf {
        for _ in 0..100 {
            let found = device::list(&settings());
            if let Some(vivid) = found.into_iter().find(|it| it.card == "vivid") {
                return vivid.path;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("vivid has no node")
    }

    fn driver(&self, does: &str) {
        fs::write(Path::new("/sys/bus/platform/drivers/vivid").join(does), "vivid.0").unwrap();
    }
}

impl Drop for Vivid {
    fn drop(&mut self) {
        // Whoever reads it may take a moment to let go.
        for _ in 0..100 {
            if Command::new("modprobe").args(["-r", "vivid"]).output().unwrap().status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn settings() -> config::Camera {
    config::Camera {
        device: Some("vivid".to_owned()),
        settle_seconds: NonZeroU32::MIN,
        timeout_seconds: NonZeroU32::new(30).unwrap(),
        ..config::Camera::default()
    }
}

#[test]
#[ignore = "needs vivid"]
fn frames_at_full_size_are_byte_for_byte_what_another_program_reads() {
    let vivid = Vivid::load();
    let other = std::env::temp_dir().join("frame");
    let formats = [
        (Pixels::Yuyv, *b"YUYV"),
        (Pixels::Rgb, *b"RGB3"),
        (Pixels::Nv12, *b"NV12"),
        (Pixels::Grey, *b"GREY"),
    ];
    for (pixels, code) in formats {
        let mode = Mode { code, pixels, width: 3840, height: 2160 };
        let mut camera = device::Camera::at(&vivid.node(), &settings()).unwrap();
        assert_eq!(camera.attempt(&mode), Ok(Some(mode)));
        let shape = camera.shape();
        let picture = camera.next().unwrap();
        assert!(picture.is_whole);
        let frame = Frame { bytes: picture.bytes.to_vec(), shape };
        drop(camera);
        let format =
            format!("width=3840,height=2160,pixelformat={}", String::from_utf8_lossy(&code));
        let node = vivid.node();
        let node = node.to_string_lossy();
        let file = other.to_string_lossy();
        let to = format!("--stream-to={file}");
        let reads = ["--stream-mmap=4", "--stream-count=1", &to];
        run("v4l2-ctl", &[&["-d", &node, "-v", &format], &reads[..]].concat());
        assert!(frame.bytes == fs::read(&other).unwrap(), "{mode} differs");
        println!("{mode}: {} bytes, stride {}", frame.bytes.len(), shape.stride);
        // Four of these make a long test where the machine is emulated.
        if pixels == Pixels::Yuyv {
            assert_eq!(frame.look().unwrap().dimensions(), (1280, 720));
            let file = image::load_from_memory(&frame.file().unwrap()).unwrap();
            assert_eq!((file.width(), file.height()), (3840, 2160));
        }
    }
}

async fn comes(outlet: &mut Outlet, what: &str, is: impl Fn(&State) -> bool) -> State {
    let begun = std::time::Instant::now();
    let state = timeout(LONG, outlet.state.wait_for(is)).await.map(|it| it.unwrap().clone());
    let state = state.unwrap_or_else(|_| panic!("not {what}: {:?}", *outlet.state.borrow()));
    println!("{what} after {:.1?}: {state:?}", begun.elapsed());
    state
}

async fn a_page(outlet: &mut Outlet) {
    outlet.orders.send(Order::Start).await.unwrap();
    let event = timeout(LONG, outlet.events.recv()).await.expect("a page comes");
    let Some(Event::Page(page, taken)) = event else { panic!("a page is wanted") };
    let picture = image::load_from_memory(&page.picture).unwrap();
    println!("a page of {} × {}", picture.width(), picture.height());
    taken.send(Taken::Same).unwrap();
}

#[tokio::test]
#[ignore = "needs vivid"]
async fn a_camera_that_is_unplugged_fails_or_falls_silent_is_told_of_and_used_again() {
    let vivid = Vivid::load();
    let mut camera = Camera::new(settings(), Gate::default());
    let counts = camera.counts();
    let stop = CancellationToken::new();
    let (mut port, mut outlet) = Port::new(stop.clone());
    let kept = tokio::spawn(async move {
        keep_at_work(&mut camera, Source::Camera, &mut port).await;
    });
    let works = |it: &State| !matches!(it, State::Absent(_) | State::Failing(_));
    let absent = |it: &State| matches!(it, State::Absent(_));
    let failing = |it: &State| matches!(it, State::Failing(_));
    comes(&mut outlet, "at work", works).await;
    a_page(&mut outlet).await;

    vivid.driver("unbind");
    comes(&mut outlet, "unplugged", absent).await;
    vivid.driver("bind");
    comes(&mut outlet, "plugged in", works).await;
    a_page(&mut outlet).await;

    vivid.set("inject_fatal_streaming_error=1");
    comes(&mut outlet, "failed", failing).await;
    comes(&mut outlet, "at work", works).await;
    a_page(&mut outlet).await;

    vivid.set("percentage_of_dropped_buffers=100");
    comes(&mut outlet, "silent", failing).await;
    vivid.set("percentage_of_dropped_buffers=0");
    comes(&mut outlet, "at work", works).await;
    vivid.set("percentage_of_dropped_buffers=50");
    a_page(&mut outlet).await;
    vivid.set("percentage_of_dropped_buffers=0");

    let broken = || counts.broken.load(std::sync::atomic::Ordering::Relaxed);
    let before = broken();
    vivid.set("inject_v4l2_buf_flag_error=1");
    a_page(&mut outlet).await;
    assert_eq!(broken(), before + 1);

    stop.cancel();
    kept.await.unwrap();
}
