//! `cloud`: the record of transfers, from the outside.

use std::fs;

use crate::kiosk::{bare_kiosk, run};

#[test]
fn state_without_a_record_is_told_and_left_as_it_is() {
    let state = tempfile::tempdir().expect("a folder");
    let mut kiosk = bare_kiosk();
    let run = run(kiosk.args(["cloud", "transfers", "--state"]).arg(state.path()), b"");
    assert_eq!((run.code(), run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("transfers.sqlite"), "{}", run.stderr);
    assert_eq!(fs::read_dir(state.path()).expect("it is there").count(), 0);
}
