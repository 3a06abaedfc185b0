//! Who may do what at the broker: one table, from which the rules for mosquitto and for EMQX in
//! `packaging/broker` are made, so that they agree. `tests/daemon/test_provisioning.py` holds both to
//! what a hostile kiosk tries.

use std::fmt::Write;

/// What somebody may do with topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Read,
    Write,
}

use May::{Read, Write as Publish};

/// `*` stands for the name of who it is.
struct Rules {
    /// What stands above them.
    about: &'static str,
    /// A user's name; everybody's by their own names where there is none.
    user: Option<&'static str>,
    may: &'static [(May, &'static str)],
}

const RULES: &[Rules] = &[
    Rules {
        about: "Everybody's rules go by their own name: of a kiosk BRANCH/KIOSK, its certificate's common name.",
        user: None,
        may: &[
            (Publish, "cic/v1/*/result/+"),
            (Publish, "cic/v1/*/presence"),
            (Publish, "cic/v1/*/telemetry"),
            (Publish, "cic/v1/*/config/reported"),
            (Read, "cic/v1/*/config/desired"),
            (Read, "cic/v1/+/_all/config/desired"),
            (Read, "cic/v1/*/command/+/+"),
            (Publish, "cic/v1/*/command/+/+"),
            (Publish, "cic/v1/*/command/+/+/part/+"),
            (Read, "cic/v1/_all/_all/package/+/+"),
            (Publish, "cic/v1/*/certificate/request"),
            (Read, "cic/v1/*/certificate/issued"),
        ],
    },
    Rules {
        about: "An operator, whose name is no branch's, commands as himself and hears what comes of it.",
        user: None,
        may: &[(Publish, "cic/v1/+/+/command/*/+"), (Read, "cic/v1/+/+/command/*/#")],
    },
    Rules {
        about: "A kiosk without a certificate that has a user of its own: the id that cic-kiosk claim prints.",
        user: None,
        may: &[(Publish, "cic/v1/_claim/*/request"), (Read, "cic/v1/_claim/*/certificate")],
    },
    Rules {
        about: "The same with one user for all of them. They can ask in each other's names; fingerprints tell.",
        user: Some("claim"),
        may: &[(Publish, "cic/v1/_claim/+/request"), (Read, "cic/v1/_claim/+/certificate")],
    },
    Rules {
        about: "The office that issues certificates: cic-kiosk authority.",
        user: Some("authority"),
        may: &[
            (Read, "cic/v1/_claim/+/request"),
            (Publish, "cic/v1/_claim/+/request"),
            (Publish, "cic/v1/_claim/+/certificate"),
            (Read, "cic/v1/+/+/certificate/request"),
            (Publish, "cic/v1/+/+/certificate/issued"),
        ],
    },
    Rules {
        about: "Whoever takes the results.",
        user: Some("archive"),
        may: &[(Read, "cic/v1/+/+/result/+")],
    },
    Rules {
        about: "Whoever looks after the fleet.",
        user: Some("fleet"),
        may: &[
            (Read, "cic/v1/+/+/presence"),
            (Read, "cic/v1/+/+/telemetry"),
            (Read, "cic/v1/+/+/config/+"),
            (Publish, "cic/v1/+/+/config/desired"),
            (Read, "cic/v1/+/+/command/#"),
            (Read, "cic/v1/_queue/#"),
        ],
    },
    Rules {
        about: "Whoever publishes models.",
        user: Some("packages"),
        may: &[(Read, "cic/v1/_all/_all/package/+/+"), (Publish, "cic/v1/_all/_all/package/+/+")],
    },
    Rules {
        about: "Who works off the queue of jobs, and who fills it.",
        user: Some("queue"),
        may: &[(Read, "cic/v1/_queue/#"), (Publish, "cic/v1/_queue/#")],
    },
];

const HEAD: &str =
    "Made from src/mqtt/access.rs: REGENERATE=1 cargo test access. See docs/provisioning.md.";

fn mosquitto() -> String {
    let mut text = format!("# {HEAD}\n");
    for rules in RULES {
        let _ = write!(text, "\n# {}\n", rules.about);
        if let Some(user) = rules.user {
            let _ = writeln!(text, "user {user}");
        }
        let word = if rules.user.is_some() { "topic" } else { "pattern" };
        for (may, topic) in rules.may {
            let may = if *may == Read { "read" } else { "write" };
            let _ = writeln!(text, "{word} {may} {}", topic.replace('*', "%u"));
        }
    }
    text
}

fn emqx() -> String {
    let mut text = format!(
        "%% {HEAD}\n\n%% From EMQX 6.3 on: authorization.topic_template_allow.slash = true. Kiosks are called BRANCH/KIOSK.\n\n\
         %% A name with a wildcard would be one in the rules below.\n\
         {{deny, {{user, {{re, \"[+#]\"}}}}, all, [\"#\"]}}.\n"
    );
    for rules in RULES {
        let _ = write!(text, "\n%% {}\n", rules.about);
        let who = rules.user.map_or("all".to_owned(), |user| format!("{{user, \"{user}\"}}"));
        for (may, topic) in rules.may {
            let may = if *may == Read { "subscribe" } else { "publish" };
            let topic = topic.replace('*', "${username}");
            let _ = writeln!(text, "{{allow, {who}, {may}, [\"{topic}\"]}}.");
        }
    }
    text + "\n%% Nothing else.\n{deny, all}.\n"
}

mod tests {
    use std::env;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn is_made_from_the_table(file: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/broker").join(file);
        if env::var_os("REGENERATE").is_some() {
            fs::write(&path, text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is old: REGENERATE=1 cargo test access", path.display());
    }

    #[test]
    fn brokers_rules_are_made_from_the_table() {
        is_made_from_the_table("mosquitto-acl", &mosquitto());
        is_made_from_the_table("emqx-acl.conf", &emqx());
    }
}
