//! Who has guessed wrong too often, and for how long that one must wait.
//!
//! Two counts, both in memory only:
//! - per client and `api_key`: after [`RUN`] failures in a row, each further failure costs a wait
//!   that doubles, from [`FIRST_WAIT`] to [`LONGEST_WAIT`]. This slows who guesses one secret.
//! - per client: a bucket of [`BURST`] failures that fills by one each [`REFILL`]. This slows who
//!   tries many keys.
//!
//! A client is an IPv4 address or a /64 of IPv6, which is what one subscriber commonly gets: nobody
//! has a fresh start with each of 2^64 addresses. Keys are kept as digests: an entry has
//! one size, whatever was sent. The tables are bounded; what failed longest ago is forgotten first.
//!
//! There is no clock in here: whoever asks says what time it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// This many failures in a row may be a person who mistypes or a script with an old secret.
const RUN: u32 = 10;

/// Failures further apart belong to no run, and so long after its wait a run is forgotten.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// After the run's last failure.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// What doubling stops at.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Failures that a client may spend at once.
const BURST: u32 = 100;

/// How often a client gets one failure back.
const REFILL: Duration = Duration::from_secs(1);

/// Entries per table: about a megabyte. Each entry has cost its maker one Argon2.
const MAX_ENTRIES: usize = 10_000;

/// The failures of late.
#[derive(Debug, Default)]
pub struct Lockout {
    runs: HashMap<(IpAddr, [u8; 32]), Run>,
    buckets: HashMap<IpAddr, Bucket>,
}

/// Failures in a row of one client with one key.
#[derive(Clone, Copy, Debug)]
struct Run {
    failures: u32,
    begun: Instant,
    latest: Instant,
    /// Before this no guess is let through; the time of the latest failure when none must wait.
    locked_until: Instant,
}

/// A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): one time says how
/// full it is.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When all failures will be given back.
    full_at: Instant,
    latest: Instant,
}

impl Lockout {
    /// Whether this client may guess now; if not, how long it must wait.
    pub fn check(&self, client: IpAddr, api_key: &str, now: Instant) -> Result<(), Duration> {
        let client = origin(client);
        let run = self.runs.get(&(client, digest(api_key)));
        let run_waits = run.map_or(Duration::ZERO, |run| run.wait(now));
        let bucket_waits =
            self.buckets.get(&client).map_or(Duration::ZERO, |bucket| bucket.wait(now));
        match run_waits.max(bucket_waits) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts a wrong guess.
    pub fn failed(&mut self, client: IpAddr, api_key: &str, now: Instant) {
        let client = origin(client);
        let pair = (client, digest(api_key));
        make_room(&mut self.runs, &pair, |run| run.latest);
        self.runs.entry(pair).or_insert_with(|| Run::new(now)).fail(now);
        make_room(&mut self.buckets, &client, |bucket| bucket.latest);
        self.buckets.entry(client).or_insert_with(|| Bucket::new(now)).fail(now);
    }

    /// Ends the run of a client that knows the secret. Its bucket stays as it is: knowing one key's
    /// secret is no licence to try others.
    pub fn succeeded(&mut self, client: IpAddr, api_key: &str) {
        // Nearly always there is nothing to forget, and then the digest need not be computed.
        if !self.runs.is_empty() {
            self.runs.remove(&(origin(client), digest(api_key)));
        }
    }
}

impl Run {
    fn new(now: Instant) -> Self {
        Self { failures: 0, begun: now, latest: now, locked_until: now }
    }

    fn wait(&self, now: Instant) -> Duration {
        self.locked_until.saturating_duration_since(now)
    }

    fn fail(&mut self, now: Instant) {
        let forgotten_at =
            if self.failures < RUN { self.begun + WINDOW } else { self.locked_until + WINDOW };
        if now > forgotten_at {
            *self = Self::new(now);
        }
        self.failures = self.failures.saturating_add(1);
        self.latest = now;
        self.locked_until = now + wait_after(self.failures);
    }
}

/// Nothing before the run is complete, then the first wait, doubled by each further failure.
fn wait_after(failures: u32) -> Duration {
    let Some(beyond) = failures.checked_sub(RUN) else { return Duration::ZERO };
    let factor = 2_u32.checked_pow(beyond).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { full_at: now, latest: now }
    }

    /// Until one failure is left to spend.
    fn wait(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now).saturating_sub(REFILL * (BURST - 1))
    }

    fn fail(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + REFILL;
        self.latest = now;
    }
}

/// Drops the entry that failed longest ago when a new one would be too many.
fn make_room<K: Copy + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    newcomer: &K,
    latest: impl Fn(&V) -> Instant,
) {
    if table.len() < MAX_ENTRIES || table.contains_key(newcomer) {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, value)| latest(value)).map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        table.remove(&oldest);
    }
}

/// An IPv4 address, also where it came mapped into IPv6, or the first address of an IPv6 /64.
fn origin(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn digest(api_key: &str) -> [u8; 32] {
    Sha256::digest(api_key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "5d41402abc4b2a76b9719d911017c592";

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// As many failures at once, and what the client must wait after them.
    fn fail(lockout: &mut Lockout, count: u32, from: &str, key: &str, now: Instant) -> Duration {
        for _ in 0..count {
            lockout.failed(client(from), key, now);
        }
        lockout.check(client(from), key, now).err().unwrap_or_default()
    }

    #[test]
    fn ten_failures_in_a_row_cost_thirty_seconds() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        assert_eq!(fail(&mut lockout, 9, "10.0.0.1", KEY, now), seconds(0));
        assert_eq!(fail(&mut lockout, 1, "10.0.0.1", KEY, now), seconds(30));
        let later = now + Duration::from_millis(29_500);
        let wait = lockout.check(client("10.0.0.1"), KEY, later).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(lockout.check(client("10.0.0.1"), KEY, now + seconds(30)).is_ok());
    }

    #[test]
    fn each_further_failure_doubles_the_wait_up_to_fifteen_minutes() {
        let (mut lockout, mut now) = (Lockout::default(), Instant::now());
        let mut wait = fail(&mut lockout, 10, "10.0.0.1", KEY, now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            now += wait;
            wait = fail(&mut lockout, 1, "10.0.0.1", KEY, now);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900, 900]);
    }

    #[test]
    fn no_number_of_failures_overflows_the_wait() {
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn failures_far_apart_are_no_run() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 9, "10.0.0.1", KEY, now);
        let later = now + WINDOW + seconds(1);
        assert_eq!(fail(&mut lockout, 9, "10.0.0.1", KEY, later), seconds(0));
        assert_eq!(fail(&mut lockout, 1, "10.0.0.1", KEY, later), seconds(30));
    }

    #[test]
    fn run_is_forgotten_fifteen_minutes_after_its_wait() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 10, "10.0.0.1", KEY, now);
        let later = now + seconds(30) + WINDOW + seconds(1);
        assert_eq!(fail(&mut lockout, 1, "10.0.0.1", KEY, later), seconds(0));
    }

    #[test]
    fn success_ends_the_run() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 10, "10.0.0.1", KEY, now);
        lockout.succeeded(client("10.0.0.1"), KEY);
        assert_eq!(fail(&mut lockout, 9, "10.0.0.1", KEY, now), seconds(0));
    }

    #[test]
    fn run_of_one_client_or_key_is_no_other_ones() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 10, "10.0.0.1", KEY, now);
        assert!(lockout.check(client("10.0.0.2"), KEY, now).is_ok());
        assert!(lockout.check(client("10.0.0.1"), "another", now).is_ok());
    }

    #[test]
    fn client_has_a_hundred_failures_and_one_more_each_second() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for index in 0..99 {
            fail(&mut lockout, 1, "10.0.0.1", &index.to_string(), now);
        }
        assert_eq!(fail(&mut lockout, 0, "10.0.0.1", "new", now), seconds(0));
        assert_eq!(fail(&mut lockout, 1, "10.0.0.1", "hundredth", now), seconds(1));
        assert!(lockout.check(client("10.0.0.1"), "new", now + seconds(1)).is_ok());
        assert_eq!(fail(&mut lockout, 1, "10.0.0.1", "new", now + seconds(1)), seconds(1));
        assert!(lockout.check(client("10.0.0.2"), "new", now).is_ok());
    }

    #[test]
    fn success_fills_no_bucket() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for index in 0..100 {
            fail(&mut lockout, 1, "10.0.0.1", &index.to_string(), now);
        }
        lockout.succeeded(client("10.0.0.1"), "0");
        assert!(lockout.check(client("10.0.0.1"), "0", now).is_err());
    }

    #[test]
    fn ipv6_counts_by_its_slash_64_and_mapped_ipv4_as_ipv4() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 10, "2001:db8:0:1::1", KEY, now);
        assert!(lockout.check(client("2001:db8:0:1:ffff::2"), KEY, now).is_err());
        assert!(lockout.check(client("2001:db8:0:2::1"), KEY, now).is_ok());
        fail(&mut lockout, 10, "::ffff:10.0.0.1", KEY, now);
        assert!(lockout.check(client("10.0.0.1"), KEY, now).is_err());
    }

    #[test]
    fn tables_are_bounded_and_forget_the_oldest_failure() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        fail(&mut lockout, 10, "10.0.0.1", KEY, now);
        let later = now + seconds(1);
        for index in 0..u32::try_from(MAX_ENTRIES).unwrap() - 1 {
            lockout.failed(IpAddr::V4(index.into()), KEY, later);
        }
        assert!(lockout.check(client("10.0.0.1"), KEY, later).is_err());
        lockout.failed(client("10.9.9.9"), KEY, later);
        assert_eq!((lockout.runs.len(), lockout.buckets.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(lockout.check(client("10.0.0.1"), KEY, later).is_ok());
    }
}
