//! The AsyncAPI 3.0.0 document `docs/asyncapi.yaml`: what stands in it is made from the types that do
//! the work.

use cic_kiosk::config::Mqtt;
use cic_kiosk::report::schema::Answer;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::fleet::commands::message::Command;
use crate::fleet::configuration::message::{Desired, Reported};
use crate::fleet::presence::Presence;
use crate::fleet::telemetry::Telemetry;
use crate::provisioning::message::{ClaimAnswer, ClaimRequest, Issued, Renewal};

/// Version of the topics, which their names hold, too; not the program's.
const VERSION: &str = "1.2.0";

fn asyncapi() -> Value {
    // The dialect that an AsyncAPI document speaks by itself.
    let mut generator = SchemaSettings::draft07()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let result = generator.subschema_for::<Answer>();
    let presence = generator.subschema_for::<Presence>();
    let telemetry = generator.subschema_for::<Telemetry>();
    let desired = generator.subschema_for::<Desired>();
    let reported = generator.subschema_for::<Reported>();
    let command = generator.subschema_for::<Command>();
    let claim = generator.subschema_for::<ClaimRequest>();
    let verdict = generator.subschema_for::<ClaimAnswer>();
    let renewal = generator.subschema_for::<Renewal>();
    let issued = generator.subschema_for::<Issued>();
    #[cfg(feature = "office")]
    let queue = queue(&mut generator);
    #[cfg_attr(not(feature = "office"), expect(unused_mut))]
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "cic-kiosk at the branch's broker",
            "version": VERSION,
            "description": "What a kiosk publishes, and what it listens to. Every message is delivered \
                            at least once: who subscribes to results discards a scan_id that came \
                            before.",
            "license": {"name": "Apache-2.0 OR MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "plain": server("broker.branch:1883", "mqtt"),
            "tls": server("broker.branch:8883", "secure-mqtt"),
        },
        "channels": {
            "result": {
                "address": "cic/v1/{branch}/{kiosk}/result/{scan_id}",
                "description": "One message for each scan, not retained.",
                "parameters": parameters(&[
                    ("branch", "the branch's name"),
                    ("kiosk", "the kiosk's name in its branch"),
                    ("scan_id", "the scan's ULID, which is meta.scan_id in the payload, too"),
                ]),
                "messages": {"result": {"$ref": "#/components/messages/result"}},
            },
            "presence": {
                "address": "cic/v1/{branch}/{kiosk}/presence",
                "description": "The last message is retained. That of a kiosk that was lost is its \
                                last will.",
                "parameters": kiosks_parameters(),
                "messages": {"presence": {"$ref": "#/components/messages/presence"}},
            },
            "telemetry": {
                "address": "cic/v1/{branch}/{kiosk}/telemetry",
                "description": "Every fleet.telemetry_seconds, on each connection, and within 5 \
                                seconds when something changes that somebody may have to see to. \
                                Not retained.",
                "parameters": kiosks_parameters(),
                "messages": {"telemetry": {"$ref": "#/components/messages/telemetry"}},
            },
            "desired": {
                "address": "cic/v1/{branch}/{kiosk}/config/desired",
                "description": "Settings that are wanted, retained: of one kiosk, of those of a \
                                branch, or of all. A kiosk listens to the three that concern it, and \
                                the one for itself wins over the branch's, and that over all's.",
                "parameters": parameters(&[
                    ("branch", "the branch's name, or _all"),
                    ("kiosk", "the kiosk's name in its branch, or _all"),
                ]),
                "messages": {"desired": {"$ref": "#/components/messages/desired"}},
            },
            "reported": {
                "address": "cic/v1/{branch}/{kiosk}/config/reported",
                "description": "Which of the settings that are wanted are in force, and why others \
                                are not. The last message is retained.",
                "parameters": kiosks_parameters(),
                "messages": {"reported": {"$ref": "#/components/messages/reported"}},
            },
            "command": {
                "address": "cic/v1/{branch}/{kiosk}/command/{sender}/{id}",
                "description": "A command, retained. Its sender publishes it with status init; the \
                                kiosk answers at the same topic. An empty message, retained, clears \
                                it.",
                "parameters": command_parameters(&[]),
                "messages": {"command": {"$ref": "#/components/messages/command"}},
            },
            "part": {
                "address": "cic/v1/{branch}/{kiosk}/command/{sender}/{id}/part/{n}",
                "description": "A part of what a command asked for, not retained: at most 32 KiB as \
                                they are. The command's result has their number, all bytes, and the \
                                SHA-256.",
                "parameters": command_parameters(&[("n", "which part, from 0")]),
                "messages": {"part": {"$ref": "#/components/messages/part"}},
            },
            "claim": {
                "address": "cic/v1/_claim/{id}/request",
                "description": "A kiosk without a certificate asks for one, retained; empty when it \
                                has one.",
                "parameters": parameters(&[("id", "what the kiosk is called until it has a name")]),
                "messages": {"claim": {"$ref": "#/components/messages/claim"}},
            },
            "verdict": {
                "address": "cic/v1/_claim/{id}/certificate",
                "description": "The kiosk's first certificate, or that it gets none; retained.",
                "parameters": parameters(&[("id", "what the kiosk is called until it has a name")]),
                "messages": {"verdict": {"$ref": "#/components/messages/verdict"}},
            },
            "renewal": {
                "address": "cic/v1/{branch}/{kiosk}/certificate/request",
                "description": "When two thirds of its certificate's time are over, the kiosk asks \
                                for the next one, retained; empty when it has it.",
                "parameters": kiosks_parameters(),
                "messages": {"renewal": {"$ref": "#/components/messages/renewal"}},
            },
            "issued": {
                "address": "cic/v1/{branch}/{kiosk}/certificate/issued",
                "description": "The next certificate, retained. The kiosk takes it when the broker does.",
                "parameters": kiosks_parameters(),
                "messages": {"issued": {"$ref": "#/components/messages/issued"}},
            },
            "package": {
                "address": "cic/v1/_all/_all/package/{sha256}/{n}",
                "description": "A chunk of a package of models, retained: 48 KiB as they are, the \
                                last one what is left. A kiosk listens to one at a time, when a \
                                command has told it of the package.",
                "parameters": parameters(&[
                    ("sha256", "the package's SHA-256, in hexadecimal"),
                    ("n", "which chunk, from 0"),
                ]),
                "messages": {"package": {"$ref": "#/components/messages/package"}},
            },
        },
        "operations": {
            "publishResult": operation("result", false, "A document was read"),
            "publishPresence": operation("presence", true, "The kiosk came, goes, or went"),
            "publishTelemetry": operation("telemetry", false, "How the kiosk does"),
            "receiveDesired": heard("desired", "Settings are wanted of the kiosk"),
            "publishReported": operation("reported", true, "What became of them"),
            "receiveCommand": heard("command", "Something is ordered of the kiosk"),
            "publishCommand": operation("command", true, "What became of it"),
            "publishPart": operation("part", false, "A part of what was asked for"),
            "publishClaim": operation("claim", true, "The kiosk has no certificate"),
            "receiveVerdict": heard("verdict", "What became of its claim"),
            "publishRenewal": operation("renewal", true, "The kiosk's certificate will end"),
            "receiveIssued": heard("issued", "The next certificate"),
            "receivePackage": heard("package", "A chunk of a package of models"),
        },
        "components": {
            "messages": {
                "result": message("result", "What a document says: the HTTP API's JSON", &result),
                "presence": message("presence", "Whether the kiosk is there, and what it is", &presence),
                "telemetry": message("telemetry", "The kiosk's figures", &telemetry),
                "desired": message("desired", "Settings that are wanted", &desired),
                "reported": message("reported", "What became of them", &reported),
                "command": message("command", "What is ordered, or what became of it", &command),
                "part": bytes("part", "A part of what a command asked for"),
                "claim": message("claim", "A kiosk without a certificate asks for one", &claim),
                "verdict": message("verdict", "What became of a claim", &verdict),
                "renewal": message("renewal", "A kiosk asks for its next certificate", &renewal),
                "issued": message("issued", "The next certificate", &issued),
                "package": bytes("package", "A chunk of a package of models"),
            },
            "securitySchemes": {
                "password": {
                    "type": "userPassword",
                    "description": "mqtt.user, and the credential mqtt-password",
                },
                "certificate": {
                    "type": "X509",
                    "description": "mqtt.certificate, and the credential mqtt-key",
                },
            },
            "schemas": generator.take_definitions(true),
        },
    });
    #[cfg(feature = "office")]
    for (name, (address, description, messages, summary, retain)) in queue {
        let message = format!("#/components/messages/{name}");
        document["channels"][name] = json!({
            "address": format!("cic/v1/_queue/{address}"),
            "description": description,
            "parameters": queue_parameters(address),
            "messages": {name: {"$ref": message}},
        });
        document["components"]["messages"][name] = messages;
        document["operations"][format!("publish_{name}")] = operation(name, retain, summary);
    }
    document
}

fn message(name: &str, summary: &str, payload: &schemars::Schema) -> Value {
    json!({
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": payload,
    })
}

/// A message that is no JSON.
fn bytes(name: &str, summary: &str) -> Value {
    json!({
        "name": name,
        "summary": summary,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    })
}

/// Address, description, message, what it is published for, and whether it is retained.
#[cfg(feature = "office")]
type Channel = (&'static str, &'static str, Value, &'static str, bool);

/// What goes over the queue of an office; the address is what stands behind `cic/v1/_queue/`.
#[cfg(feature = "office")]
fn queue(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, Channel)> {
    use crate::queue::{Dead, State, Taken};
    let state = message(
        "queue_state",
        "Whether somebody of the queue is there, and how it does",
        &generator.subschema_for::<State>(),
    );
    let taken = message(
        "queue_taken",
        "What a worker does with a job",
        &generator.subschema_for::<Taken>(),
    );
    let dead =
        message("queue_dead", "A job that is not tried again", &generator.subschema_for::<Dead>());
    vec![
        (
            "queue_state",
            (
                "{name}/state",
                "Every two seconds at most, when it has changed. The last message is retained. That of \
                 one that was lost is its last will.",
                state,
                "Somebody of the queue came, works, or went",
                true,
            ),
        ),
        (
            "queue_job",
            (
                "jobs/{submitter}/{job}",
                "Documents, for one of those who share the subscription \
                 $share/cic-workers/cic/v1/_queue/jobs/+/+. Not retained; it expires. How it is laid \
                 out is between programs of one version, and with the credential queue-key it is sealed.",
                bytes("queue_job", "A document that is to be read"),
                "A document is to be read",
                false,
            ),
        ),
        (
            "queue_taken",
            (
                "taken/{submitter}/{job}",
                "When a worker gets a job, every 3 seconds while it holds it, and when it gives it back \
                 or cannot open it. Not retained.",
                taken,
                "A worker has a job",
                false,
            ),
        ),
        (
            "queue_answer",
            (
                "answers/{submitter}/{job}/{name}",
                "The answer to a job by this worker, again every 10 seconds until it is settled. Not \
                 retained; sealed as the job is.",
                bytes("queue_answer", "What a document says, or why that is not known"),
                "A document was read",
                false,
            ),
        ),
        (
            "queue_settled",
            (
                "settled/{name}/{submitter}/{job}",
                "This worker need do no more for the job: its answer has come, or nobody wants it. \
                 Empty, and not retained.",
                bytes("queue_settled", "Nothing more is needed of a worker"),
                "An answer has come, or is not wanted",
                false,
            ),
        ),
        (
            "queue_dead",
            (
                "dead/{submitter}/{job}",
                "A job that three workers died with, or refused. Retained, without the document, until \
                 somebody clears it.",
                dead,
                "A job was given up",
                true,
            ),
        ),
    ]
}

#[cfg(feature = "office")]
fn queue_parameters(address: &str) -> Value {
    let all = [
        ("name", "the name of a worker or submitter"),
        ("submitter", "the name of who has the document"),
        ("job", "the job's ULID, which is the scan's"),
    ];
    let is_there = |(name, _): &&(&str, &str)| address.contains(&format!("{{{name}}}"));
    parameters(&all.iter().filter(is_there).copied().collect::<Vec<_>>())
}

fn server(host: &str, protocol: &str) -> Value {
    let schemes: &[&str] =
        if protocol == "mqtt" { &["password"] } else { &["password", "certificate"] };
    let security: Vec<Value> = schemes
        .iter()
        .map(|scheme| json!({"$ref": format!("#/components/securitySchemes/{scheme}")}))
        .collect();
    json!({
        "host": host,
        "protocol": protocol,
        "protocolVersion": "5",
        "description": "The branch's broker, as mqtt.broker says",
        "security": security,
        "bindings": {"mqtt": {
            "cleanSession": true,
            "keepAlive": Mqtt::default().keep_alive_seconds,
            "lastWill": {
                "topic": "cic/v1/{branch}/{kiosk}/presence",
                "qos": 1,
                "retain": true,
                "message": "presence with status offline and reason lost",
            },
        }},
    })
}

fn parameters(all: &[(&str, &str)]) -> Value {
    let one = |&(name, description): &(&str, &str)| {
        (name.to_owned(), json!({"description": description}))
    };
    Value::Object(all.iter().map(one).collect())
}

fn kiosks_parameters() -> Value {
    parameters(&[("branch", "the branch's name"), ("kiosk", "the kiosk's name in its branch")])
}

fn command_parameters(more: &[(&str, &str)]) -> Value {
    let all = [
        ("branch", "the branch's name"),
        ("kiosk", "the kiosk's name in its branch"),
        ("sender", "the sender's name, as the broker's rules and fleet.senders know him"),
        ("id", "the command's ULID, made at the time that it is given"),
    ];
    parameters(&[&all, more].concat())
}

fn heard(channel: &str, summary: &str) -> Value {
    let mut operation = operation(channel, true, summary);
    operation["action"] = "receive".into();
    // A subscription has no such flag.
    operation["bindings"] = json!({"mqtt": {"qos": 1}});
    operation
}

fn operation(channel: &str, retain: bool, summary: &str) -> Value {
    json!({
        "action": "send",
        "summary": summary,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "messages": [{"$ref": format!("#/channels/{channel}/messages/{channel}")}],
        "bindings": {"mqtt": {"qos": 1, "retain": retain}},
    })
}

mod tests {
    use std::io::Read;
    #[cfg(feature = "office")]
    use std::{env, fs};

    use cic_kiosk::config::Config;
    use cic_kiosk::report::schema::{ErrorCode, Meta, Report};
    use flate2::read::GzDecoder;
    use jiff::Timestamp;

    use super::super::fixture::topics;
    use super::*;
    use crate::fleet::anomalies::Anomalies;
    use crate::fleet::commands::message::{Code, Failure, Progress, Status};
    use crate::fleet::configuration::Configuration;
    use crate::fleet::configuration::message::Level;
    use crate::fleet::machine::Machine;
    use crate::fleet::presence::{Birth, Presence, Reason};
    use crate::fleet::telemetry::tests::full;
    use crate::provisioning::message;

    #[cfg(feature = "office")]
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asyncapi.yaml");
    #[cfg(feature = "office")]
    const HEAD: &str = "# Made from the types: REGENERATE=1 cargo test --all-features asyncapi\n";

    #[cfg(feature = "office")]
    #[test]
    fn document_in_the_repository_is_made_from_the_types() {
        let text = HEAD.to_owned() + &serde_saphyr::to_string(&asyncapi()).unwrap();
        if env::var_os("REGENERATE").is_some() {
            fs::write(FILE, &text).unwrap();
        }
        let found = fs::read_to_string(FILE).unwrap_or_default();
        assert!(
            found == text,
            "docs/asyncapi.yaml is old: REGENERATE=1 cargo test --all-features asyncapi"
        );
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, asyncapi());
    }

    #[test]
    fn document_is_valid_asyncapi() {
        let packed = include_bytes!("../../tests/data/asyncapi-3.0.0.json.gz");
        let mut schema = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut schema).unwrap();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let mut document = asyncapi();
        let errors: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("{:?} at {}", error.kind, error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        document["operations"]["publishResult"]["action"] = "shout".into();
        assert!(!validator.is_valid(&document));
    }

    #[test]
    fn topics_are_those_that_are_published_to() {
        let address = |channel: &str| {
            let document = asyncapi();
            let address = document["channels"][channel]["address"].as_str().unwrap().to_owned();
            address.replace("{branch}", "HN-01").replace("{kiosk}", "k1")
        };
        let scan = ulid::Ulid::new();
        assert_eq!(
            address("result").replace("{scan_id}", &scan.to_string()),
            topics().result(scan)
        );
        assert_eq!(address("presence"), topics().presence());
        assert_eq!(address("telemetry"), topics().telemetry());
        assert_eq!(address("reported"), topics().reported());
        assert_eq!(address("desired"), topics().desired()[2]);
        let sender = "desk".parse().unwrap();
        let of = |channel: &str| {
            let address = address(channel).replace("{sender}", "desk");
            address.replace("{id}", &scan.to_string()).replace("{n}", "0")
        };
        assert_eq!(of("command"), topics().command(&sender, scan));
        assert_eq!(of("part"), topics().part(&sender, scan, 0));
        assert_eq!(address("renewal"), topics().certificate_request());
        assert_eq!(address("issued"), topics().certificate_issued());
        let id: cic_kiosk::config::Name = "k1".parse().unwrap();
        assert_eq!(address("claim").replace("{id}", "k1"), message::claim_topic(&id));
        assert_eq!(address("verdict").replace("{id}", "k1"), message::verdict_topic(&id));
    }

    /// What is published fits the document's own schema and, in today's JSON Schema, its type's.
    fn fits(name: &str, payload: &Value, newest: &schemars::Schema) -> bool {
        let document = asyncapi();
        let mut schema = json!({"$ref": format!("#/components/schemas/{name}")});
        schema["components"] = document["components"].clone();
        let old = jsonschema::draft7::new(&schema).unwrap();
        let new = jsonschema::draft202012::new(newest.as_value()).unwrap();
        assert_eq!(old.is_valid(payload), new.is_valid(payload), "{payload}");
        new.is_valid(payload)
    }

    fn newest<T: schemars::JsonSchema>() -> schemars::Schema {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        settings.into_generator().into_root_schema_for::<T>()
    }

    #[test]
    fn presence_fits_its_schema() {
        let birth = Birth::of(&Config::default(), &Machine::default());
        let least = Birth { started: birth.started.clone(), ..Birth::default() };
        let newest = newest::<Presence>();
        for presence in [
            Presence::online(least, Timestamp::now()),
            Presence::online(birth.clone(), Timestamp::now()),
            Presence::stopping(birth.clone()),
            Presence::offline(birth.clone(), Reason::Lost),
            Presence::offline(birth.clone(), Reason::Reconnecting),
            Presence::offline(birth, Reason::Stopped),
        ] {
            let presence: Value = serde_json::from_slice(&presence.json()).unwrap();
            assert!(fits("Presence", &presence, &newest), "{presence}");
        }
        assert!(!fits("Presence", &json!({"status": "away"}), &newest));
    }

    #[test]
    fn telemetry_fits_its_schema() {
        let newest = newest::<Telemetry>();
        let least = Telemetry { at: full().at, ..Telemetry::default() };
        for telemetry in [least, full()] {
            let mut telemetry: Value = serde_json::from_slice(&telemetry.json()).unwrap();
            assert!(fits("Telemetry", &telemetry, &newest), "{telemetry}");
            telemetry["outbox"]["dead"] = json!("none");
            assert!(!fits("Telemetry", &telemetry, &newest));
        }
    }

    #[test]
    fn desired_and_reported_fit_their_schemas() {
        let wanted = json!({"version": 1, "settings": {"capture": {"asks": 1}}});
        assert!(fits("Desired", &wanted, &newest::<Desired>()));
        for wrong in [json!({"version": 0, "settings": {}}), json!({"version": 1}), json!([])] {
            assert!(!fits("Desired", &wrong, &newest::<Desired>()), "{wrong}");
            assert!(Desired::parse(wrong.to_string().as_bytes()).is_err(), "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        let here = Config::default();
        let (mut configuration, _) =
            Configuration::open(folder.path(), &here, Anomalies::default());
        let mut fit = |message: String| {
            configuration.take(Level::Kiosk, Ok(message.as_bytes()), &here, &|_| {
                Ok(vec!["http.queue".to_owned()])
            });
            let reported = json!(configuration.reported());
            assert!(fits("Reported", &reported, &newest::<Reported>()), "{reported}");
        };
        fit(wanted.to_string());
        fit("{".to_owned());
        fit(json!({"version": 2, "settings": {"kiosk": {"id": "x"}}}).to_string());
    }

    #[cfg(feature = "office")]
    #[test]
    fn messages_of_the_queue_fit_their_schemas() {
        use crate::queue::{Dead, State, Taken};
        let worker = json!({"status": "online", "role": "worker", "since": "2026-03-02T08:00:00Z",
            "version": "1.0.0", "threads": 2, "held": 2, "done": 120, "failed": 1, "per_minute": 34.5});
        let submitter = json!({"status": "online", "role": "submitter", "since": "2026-03-02T08:00:00Z",
            "version": "1.0.0", "backlog": 12, "oldest_seconds": 40, "answered": 500, "failed": 2,
            "redelivered": 1, "dead": 0});
        for state in [worker, submitter, json!({"status": "offline", "role": "worker"})] {
            let read: State = serde_json::from_value(state.clone()).unwrap();
            assert_eq!(json!(read), state);
            assert!(fits("QueueState", &state, &newest::<State>()), "{state}");
        }
        assert!(!fits("QueueState", &json!({"status": "away"}), &newest::<State>()));
        let taken = json!({"worker": "w-1", "since": "2026-03-02T08:00:00Z", "state": "held"});
        assert!(fits("QueueTaken", &taken, &newest::<Taken>()));
        assert!(!fits("QueueTaken", &json!({"worker": "w-1"}), &newest::<Taken>()));
        let dead = json!({"at": "2026-03-02T08:00:00Z", "bytes": 7, "workers": ["w-1"]});
        assert!(fits("QueueDead", &dead, &newest::<Dead>()));
        assert!(!fits("QueueDead", &json!([]), &newest::<Dead>()));
    }

    #[test]
    fn command_fits_its_schema() {
        let (newest, now) = (newest::<Command>(), Timestamp::now());
        let failure = Failure::new(Code::Expired, "too late");
        let refused = Command::refused(&failure);
        let progress = Some(Progress { step: "send", done: 1, total: 2 });
        for command in [
            refused.clone(),
            refused.clone().of("scan", now, now),
            Command { status: Status::Executing, progress, ..refused.clone() },
            Command { result: Some(json!({"parts": 1})), ..refused },
        ] {
            let mut command: Value = serde_json::from_slice(&command.json()).unwrap();
            assert!(fits("Command", &command, &newest), "{command}");
            command["status"] = json!("done");
            assert!(!fits("Command", &command, &newest));
        }
    }

    #[test]
    fn messages_about_certificates_fit_their_schemas() {
        let claim =
            json!({"at": "2026-03-02T08:00:00Z", "version": "0.1.0", "key": "tpm2", "csr": ""});
        let verdicts = [
            json!({"status": "issued", "chain": ""}),
            json!({"status": "issued", "chain": "", "broker": "mqtts://b"}),
            json!({"status": "denied", "fingerprint": ""}),
        ];
        let renewal = json!({"at": "2026-03-02T08:00:00Z", "replaces": "1a", "csr": ""});
        assert!(fits("ClaimRequest", &claim, &newest::<ClaimRequest>()));
        for verdict in verdicts {
            assert!(fits("ClaimAnswer", &verdict, &newest::<ClaimAnswer>()), "{verdict}");
            serde_json::from_value::<ClaimAnswer>(verdict).unwrap();
        }
        assert!(fits("Renewal", &renewal, &newest::<Renewal>()));
        assert!(fits("Issued", &json!({"chain": ""}), &newest::<Issued>()));
        assert!(!fits("Issued", &json!({}), &newest::<Issued>()));
    }

    #[test]
    fn result_fits_its_schema() {
        let newest = newest::<Answer>();
        let answers = [
            Answer::success(vec![Report::default()], Meta::default()),
            Answer::failure(ErrorCode::ALL[1], Meta::default()),
        ];
        for answer in answers {
            let mut answer = json!(answer);
            assert!(fits("Answer", &answer, &newest), "{answer}");
            answer["errorCode"] = json!(0);
            assert!(!fits("Answer", &answer, &newest));
        }
    }
}
