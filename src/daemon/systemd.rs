//! What systemd is told (sd_notify(3)); without systemd nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;

/// Whether systemd runs the program.
pub fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// The service works.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A new configuration is being taken over; [`ready`] ends it.
pub fn reloading() {
    // systemd tells an answer to its own signal from an older one by this time.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("systemd is not told of the reload: {error}"),
    }
}

/// The service ends, which takes no longer than this.
pub fn stopping(limit: Duration) {
    let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// A line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The service is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be said: systemd demands half the time it waits. `None` where it does
/// not wait.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("systemd cannot be told: {error}");
    }
}
