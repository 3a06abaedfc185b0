//! Exposure, gain, focus and white balance: automatic until they have settled, then locked, so
//! that one page looks like the next.
//!
//! Promises:
//! - A value that is configured is set; any other is the one that the camera found by itself.
//! - What a camera does not offer is passed over; what it offers and then refuses is named.

use std::io;

use cic_kiosk::config;
use v4l::control::{Control, Value};
use v4l::v4l_sys::{
    V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CID_AUTOGAIN, V4L2_CID_EXPOSURE_ABSOLUTE,
    V4L2_CID_EXPOSURE_AUTO, V4L2_CID_FOCUS_ABSOLUTE, V4L2_CID_FOCUS_AUTO, V4L2_CID_GAIN,
    V4L2_CID_WHITE_BALANCE_TEMPERATURE,
};

/// Controls of a device, by V4L2's numbers.
pub trait Controls {
    /// A control's value; `None` where there is none of that number.
    fn get(&self, id: u32) -> Option<i64>;
    /// Sets it. The driver brings it into its range.
    fn set(&self, id: u32, value: i64) -> io::Result<()>;
}

impl Controls for v4l::Device {
    fn get(&self, id: u32) -> Option<i64> {
        match self.control(id).ok()?.value {
            Value::Integer(value) => Some(value),
            Value::Boolean(value) => Some(value.into()),
            _ => None,
        }
    }

    fn set(&self, id: u32, value: i64) -> io::Result<()> {
        self.set_control(Control { id, value: Value::Integer(value) })
    }
}

/// A value, and the control that has the camera find it.
struct Dial {
    name: &'static str,
    auto: u32,
    /// What is automatic, the usual first.
    on: &'static [i64],
    off: i64,
    value: u32,
    configured: fn(&config::Camera) -> Option<u32>,
}

const DIALS: [Dial; 4] = [
    Dial {
        name: "exposure",
        auto: V4L2_CID_EXPOSURE_AUTO,
        // A menu: aperture priority, as UVC cameras have it; all automatic; 1 is manual.
        on: &[3, 0],
        off: 1,
        value: V4L2_CID_EXPOSURE_ABSOLUTE,
        configured: |settings| settings.exposure,
    },
    Dial {
        name: "gain",
        auto: V4L2_CID_AUTOGAIN,
        on: &[1],
        off: 0,
        value: V4L2_CID_GAIN,
        configured: |_| None,
    },
    Dial {
        name: "focus",
        auto: V4L2_CID_FOCUS_AUTO,
        on: &[1],
        off: 0,
        value: V4L2_CID_FOCUS_ABSOLUTE,
        configured: |settings| settings.focus,
    },
    Dial {
        name: "white balance",
        auto: V4L2_CID_AUTO_WHITE_BALANCE,
        on: &[1],
        off: 0,
        value: V4L2_CID_WHITE_BALANCE_TEMPERATURE,
        configured: |settings| settings.white_balance,
    },
];

/// Sets what is configured, and leaves the rest to the camera. Returns what it refuses.
pub fn begin(controls: &impl Controls, settings: &config::Camera) -> Vec<&'static str> {
    refused(|dial| match (dial.configured)(settings) {
        Some(value) => dial.fix(controls, value.into()),
        None if controls.get(dial.auto).is_none() => true,
        None => dial.on.iter().any(|&on| controls.set(dial.auto, on).is_ok()),
    })
}

/// Keeps what the camera has found. Returns what it refuses.
pub fn lock(controls: &impl Controls, settings: &config::Camera) -> Vec<&'static str> {
    refused(|dial| match controls.get(dial.value) {
        _ if (dial.configured)(settings).is_some() || controls.get(dial.auto).is_none() => true,
        Some(found) => dial.fix(controls, found),
        // It finds a value and does not say which: it keeps it all the same.
        None => controls.set(dial.auto, dial.off).is_ok(),
    })
}

fn refused(work: impl Fn(&Dial) -> bool) -> Vec<&'static str> {
    DIALS.iter().filter(|dial| !work(dial)).map(|dial| dial.name).collect()
}

impl Dial {
    /// Automatic goes off first: until then, its value may not be set.
    fn fix(&self, controls: &impl Controls, value: i64) -> bool {
        let is_off = controls.get(self.auto).is_none_or(|now| now == self.off)
            || controls.set(self.auto, self.off).is_ok();
        is_off && controls.set(self.value, value).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;

    /// Controls as UVC has them: a value cannot be set while it is found automatically.
    struct Uvc(RefCell<HashMap<u32, i64>>, &'static [u32]);

    fn uvc(refuses: &'static [u32]) -> Uvc {
        let controls = [
            (V4L2_CID_EXPOSURE_AUTO, 1),
            (V4L2_CID_EXPOSURE_ABSOLUTE, 166),
            (V4L2_CID_FOCUS_AUTO, 0),
            (V4L2_CID_FOCUS_ABSOLUTE, 30),
            (V4L2_CID_AUTO_WHITE_BALANCE, 0),
            (V4L2_CID_WHITE_BALANCE_TEMPERATURE, 4000),
        ];
        Uvc(RefCell::new(HashMap::from(controls)), refuses)
    }

    impl Controls for Uvc {
        fn get(&self, id: u32) -> Option<i64> {
            self.0.borrow().get(&id).copied()
        }

        fn set(&self, id: u32, value: i64) -> io::Result<()> {
            let dial = DIALS.iter().find(|dial| dial.value == id);
            let automatic = dial.is_some_and(|it| self.get(it.auto).is_some_and(|v| v != it.off));
            let all_automatic = (id, value) == (V4L2_CID_EXPOSURE_AUTO, 0);
            if self.get(id).is_none() || automatic || all_automatic || self.1.contains(&id) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.0.borrow_mut().insert(id, value);
            Ok(())
        }
    }

    #[test]
    fn what_is_not_configured_is_automatic_and_then_locked_where_it_settled() {
        let (camera, settings) = (uvc(&[]), config::Camera::default());
        assert!(begin(&camera, &settings).is_empty());
        assert_eq!(camera.get(V4L2_CID_EXPOSURE_AUTO), Some(3));
        assert_eq!(camera.get(V4L2_CID_FOCUS_AUTO), Some(1));
        camera.0.borrow_mut().insert(V4L2_CID_EXPOSURE_ABSOLUTE, 250);
        assert!(lock(&camera, &settings).is_empty());
        assert_eq!(camera.get(V4L2_CID_EXPOSURE_AUTO), Some(1));
        assert_eq!(camera.get(V4L2_CID_EXPOSURE_ABSOLUTE), Some(250));
        assert_eq!(camera.get(V4L2_CID_AUTO_WHITE_BALANCE), Some(0));
    }

    #[test]
    fn what_is_configured_is_set_and_stays() {
        let settings =
            config::Camera { exposure: Some(80), focus: Some(45), ..config::Camera::default() };
        let camera = uvc(&[]);
        assert!(begin(&camera, &settings).is_empty() && lock(&camera, &settings).is_empty());
        assert_eq!(camera.get(V4L2_CID_EXPOSURE_ABSOLUTE), Some(80));
        assert_eq!(camera.get(V4L2_CID_FOCUS_ABSOLUTE), Some(45));
    }

    #[test]
    fn what_is_refused_is_named_and_the_rest_is_set() {
        let settings = config::Camera { exposure: Some(80), ..config::Camera::default() };
        let camera = uvc(&[V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CID_FOCUS_AUTO]);
        assert_eq!(begin(&camera, &settings), ["exposure", "focus"]);
        assert_eq!(camera.get(V4L2_CID_AUTO_WHITE_BALANCE), Some(1));
    }

    #[test]
    fn a_camera_without_controls_refuses_nothing() {
        let camera = Uvc(RefCell::default(), &[]);
        let settings = config::Camera::default();
        assert!(begin(&camera, &settings).is_empty() && lock(&camera, &settings).is_empty());
        // A value that it is to have is another matter.
        let settings = config::Camera { focus: Some(1), ..settings };
        assert_eq!(begin(&camera, &settings), ["focus"]);
    }
}
