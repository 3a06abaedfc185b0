//! The touch screen: its address, what customers can put pages into, and who may log in.

use std::sync::Arc;

use cic_kiosk::config::Config;

use super::check::{Check, Finding};
use super::sources::listened_on;
use crate::capture::Device;
use crate::keys::{KeyStore, Listed};

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let [screen, admins] = [config, config].map(Arc::clone);
    vec![
        Check::new("screen", async move { served(&screen).await }),
        Check::blocking("screen-admins", move || admitted(&admins)),
    ]
}

async fn served(config: &Config) -> Finding {
    if !config.screen.enabled {
        return Finding::off("screen.enabled is false");
    }
    if Device::enabled(config).is_empty() {
        return Finding::warning(
            "there is a screen, and no device that a customer can put a page into",
            "set up [camera], [escl] or [sane]",
        );
    }
    listened_on(config.screen.listen, &config.kiosk.socket, "screen.listen").await
}

fn admitted(config: &Config) -> Finding {
    let (screen, state) = (&config.screen, config.http.state.as_ref());
    if !screen.enabled || screen.admins.is_empty() {
        return Finding::off("screen.admins names nobody: there is no technician's view");
    }
    let state = state.unwrap_or(&config.kiosk.state);
    let add = |name: &str| format!("`cic-kiosk keys add {name:?} --state {}`", state.display());
    let keys = match KeyStore::open(state).and_then(|store| store.list()) {
        Ok(keys) => keys,
        Err(error) => {
            return Finding::warning(
                format!("nobody can log in as a technician: {error}"),
                format!("{} makes a key, and its store", add(&screen.admins[0])),
            );
        }
    };
    for name in &screen.admins {
        match keys.iter().find(|key| key.name == *name) {
            Some(Listed { revoked: None, .. }) => {}
            Some(_) => {
                return Finding::warning(
                    format!("the key {name:?} is revoked, and screen.admins names it"),
                    "name another key there, or none",
                );
            }
            None => {
                return Finding::warning(
                    format!("there is no key {name:?}, and screen.admins names it"),
                    format!("{}, or take the name out of screen.admins", add(name)),
                );
            }
        }
    }
    Finding::ok(format!("{} may log in", screen.admins.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a store that has these keys; the second of them is revoked.
    fn with(keys: &[&str], admins: &[&str]) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.kiosk.state = folder.path().to_owned();
        config.screen.enabled = true;
        config.screen.admins = admins.iter().map(ToString::to_string).collect();
        if !keys.is_empty() {
            let store = KeyStore::create(folder.path()).unwrap();
            keys.iter().for_each(|name| drop(store.add(name, None).unwrap()));
            keys.get(1).iter().for_each(|name| store.revoke(name).unwrap());
        }
        let finding = admitted(&config);
        let row = serde_json::json!(super::super::Row::new("screen-admins", finding));
        (row["status"].as_str().unwrap().to_owned(), row["to_do"].as_str().map(str::to_owned))
    }

    #[test]
    fn technicians_without_a_good_key_are_named_with_what_to_do() {
        assert_eq!(with(&["an"], &["an"]), ("ok".to_owned(), None));
        assert_eq!(with(&["an"], &[]).0, "off");
        for (keys, name, words) in [
            (&[][..], "an", "keys add \"an\""),
            (&["an"][..], "chi", "keys add \"chi\""),
            (&["an", "binh"][..], "binh", "another key"),
        ] {
            let (status, to_do) = with(keys, &["an", name]);
            let to_do = to_do.unwrap();
            assert!(status == "warning" && to_do.contains(words), "{to_do}");
        }
    }
}
