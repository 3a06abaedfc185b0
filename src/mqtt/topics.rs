//! The names of a kiosk at its broker.

use std::fmt::Write;

use cic_kiosk::config::Name;
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// What every broker must accept as a client's identifier: this many bytes (MQTT 5, 3.1.3.1).
const MAX_CLIENT_ID: usize = 23;

/// Stands in a topic for all branches, or all kiosks of one.
const ALL: &str = "_all";

/// The topics of a kiosk, and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    branch: Name,
    kiosk: Name,
}

impl Topics {
    /// Of the kiosk with this name in that branch.
    pub fn new(branch: Name, kiosk: Name) -> Self {
        Self { branch, kiosk }
    }

    /// The kiosk's id.
    pub fn kiosk(&self) -> &Name {
        &self.kiosk
    }

    /// Where a scan's result is published.
    pub fn result(&self, scan: Ulid) -> String {
        self.topic(&format!("result/{scan}"))
    }

    /// Where it stands whether the kiosk is there.
    pub fn presence(&self) -> String {
        self.topic("presence")
    }

    /// Where figures go.
    pub fn telemetry(&self) -> String {
        self.topic("telemetry")
    }

    /// Where it stands which configuration from afar is taken over.
    pub fn reported(&self) -> String {
        self.topic("config/reported")
    }

    /// Where the kiosk asks for its next certificate.
    pub fn certificate_request(&self) -> String {
        self.topic("certificate/request")
    }

    /// Where it gets it.
    pub fn certificate_issued(&self) -> String {
        self.topic("certificate/issued")
    }

    /// Where the configurations are that are wanted: of all kiosks, of those of the branch, and of
    /// this one. No branch and no kiosk can be called [`ALL`].
    pub fn desired(&self) -> [String; 3] {
        let branch = self.branch.as_str();
        [(ALL, ALL), (branch, ALL), (branch, self.kiosk.as_str())]
            .map(|(branch, kiosk)| format!("cic/v1/{branch}/{kiosk}/config/desired"))
    }

    /// Where the commands for this kiosk are, each with what became of it.
    pub fn commands(&self) -> String {
        self.topic("command/+/+")
    }

    /// Who sent the command of this topic, and its id, as they stand there.
    pub fn command_in<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let command = topic.strip_prefix(&self.topic("command/"))?;
        command.split_once('/').filter(|(_, id)| !id.contains('/'))
    }

    /// Where a command of this sender is.
    pub fn command(&self, sender: &Name, id: Ulid) -> String {
        self.topic(&format!("command/{sender}/{id}"))
    }

    /// Where a part of what a command asked for goes.
    pub fn part(&self, sender: &Name, id: Ulid, number: usize) -> String {
        self.topic(&format!("command/{sender}/{id}/part/{number}"))
    }

    /// Where this chunk of a package is.
    pub fn package(&self, sha256: &str, number: u64) -> String {
        format!("{}/{number}", Self::chunks(sha256))
    }

    /// Below which a package's chunks are, for all kiosks.
    pub fn chunks(sha256: &str) -> String {
        format!("cic/v1/{ALL}/{ALL}/package/{sha256}")
    }

    fn topic(&self, last: &str) -> String {
        format!("cic/v1/{}/{}/{last}", self.branch, self.kiosk)
    }

    /// Always the same, so that a broker closes the connection it still holds when a new one comes.
    ///
    /// A colon parts the names, which hold none: `a-b` and `c` are not `a` and `b-c`. What is
    /// longer than every broker must accept is hashed, and has no colon.
    pub fn client_id(&self) -> String {
        Self::identifier(format!("{}:{}", self.branch, self.kiosk))
    }

    /// For a connection beside that one.
    pub fn doctors_client_id(&self) -> String {
        Self::identifier(format!("{}:{}:doctor", self.branch, self.kiosk))
    }

    fn identifier(id: String) -> String {
        if id.len() <= MAX_CLIENT_ID {
            return id;
        }
        let mut hashed = String::from("cic");
        for byte in Sha256::digest(id).iter().take((MAX_CLIENT_ID - hashed.len()) / 2) {
            let _ = write!(hashed, "{byte:02x}");
        }
        hashed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(branch: &str, kiosk: &str) -> Topics {
        Topics::new(branch.parse().unwrap(), kiosk.parse().unwrap())
    }

    #[test]
    fn topic_names_branch_kiosk_and_scan() {
        let topics = topics("HN-01", "k1");
        assert_eq!(topics.presence(), "cic/v1/HN-01/k1/presence");
        let scan = Ulid::from_parts(1, 2);
        assert_eq!(topics.result(scan), format!("cic/v1/HN-01/k1/result/{scan}"));
    }

    #[test]
    fn what_is_for_all_can_be_no_kiosks_topic() {
        assert_eq!(
            topics("HN-01", "k1").desired(),
            ["_all/_all", "HN-01/_all", "HN-01/k1"].map(|it| format!("cic/v1/{it}/config/desired"))
        );
        assert!(ALL.parse::<Name>().is_err());
    }

    #[test]
    fn command_has_its_sender_and_id_in_its_topic() {
        let (topics, id) = (topics("HN-01", "k1"), Ulid::from_parts(1, 2));
        let topic = topics.command(&"desk".parse().unwrap(), id);
        assert_eq!(topic, format!("cic/v1/HN-01/k1/command/desk/{id}"));
        assert_eq!(topics.command_in(&topic), Some(("desk", id.to_string().as_str())));
        let part = topics.part(&"desk".parse().unwrap(), id, 3);
        assert_eq!(part, format!("{topic}/part/3"));
        assert_eq!(topics.command_in(&part), None);
        assert_eq!(topics.command_in("cic/v1/HN-01/k2/command/desk/1"), None);
    }

    #[test]
    fn no_two_kiosks_have_the_same_client_id() {
        assert_eq!(topics("HN-01", "k1").client_id(), "HN-01:k1");
        assert_ne!(topics("a-b", "c").client_id(), topics("a", "b-c").client_id());
        let [long, other] = ["x", "y"].map(|end| topics(&"b".repeat(64), end).client_id());
        assert_ne!(long, other);
        for id in [long, other] {
            assert!(id.len() <= 23 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        }
    }
}
