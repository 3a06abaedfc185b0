//! `eval`: its figures, and those of the project's own models.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::kiosk::{data, kiosk, repository, run};

/// Values right by kind, and whether rows may be invented, on papers that no model has seen.
const BARS: [(&str, f64, bool); 4] = [
    ("digital", 0.995, false),
    ("scan", 0.97, false),
    ("copy", 0.93, true),
    ("camera", 0.88, true),
];

/// What a line says of a kind of documents.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    documents: String,
    values: Option<f64>,
    scalars: f64,
    cells: f64,
    invented: usize,
    whole: String,
}

fn share(percentage: &str) -> f64 {
    percentage.trim_end_matches(" %").parse::<f64>().expect("a number") / 100.0
}

/// The figures in our own table, whose columns stand two blanks apart.
fn ours(stdout: &str) -> HashMap<String, Figures> {
    let table = stdout.lines().skip(1).take_while(|line| !line.is_empty());
    table
        .map(|line| {
            let columns: Vec<&str> =
                line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
            let figures = Figures {
                documents: columns[1].to_owned(),
                values: Some(share(columns[3])),
                scalars: share(columns[4]),
                cells: share(columns[5]),
                invented: columns[6].parse().expect("a number"),
                whole: columns[7].to_owned(),
            };
            (columns[0].to_owned(), figures)
        })
        .collect()
}

/// The figures as `score.py` writes them.
fn theirs(text: &str) -> HashMap<String, Figures> {
    let lines = text.lines().filter(|line| line.contains(" docs "));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| {
                words[words.iter().position(|w| *w == word).expect("the figure is there") + 1]
            };
            let figures = Figures {
                documents: after("docs").to_owned(),
                values: None,
                scalars: after("scalars").parse().expect("a number"),
                cells: after("cells").parse().expect("a number"),
                invented: after("rows").parse().expect("a number"),
                whole: after("whole").to_owned(),
            };
            (words[0].to_owned(), figures)
        })
        .collect()
}

fn assert_agree(ours: &HashMap<String, Figures>, theirs: &HashMap<String, Figures>) {
    assert!(!theirs.is_empty());
    for (kind, theirs) in theirs {
        let ours = &ours[kind];
        let is_near = |a: f64, b: f64| (a - b).abs() < 0.000_11;
        assert!(
            is_near(ours.scalars, theirs.scalars)
                && is_near(ours.cells, theirs.cells)
                && ours.invented == theirs.invented
                && ours.whole == theirs.whole
                && ours.documents == theirs.documents,
            "{kind}: {ours:?} is not {theirs:?}"
        );
    }
}

/// The folder of sample reports that lies beside some checkouts, with its own scoring script.
fn samples() -> Option<std::path::PathBuf> {
    let folder = repository().join("../shared/samples");
    folder.join("score.py").exists().then_some(folder)
}

fn score(samples: &Path, truths: &Path, answers: &Path) -> String {
    let output = Command::new("python3")
        .arg(samples.join("score.py"))
        .args([truths, answers])
        .output()
        .expect("python3 is installed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn figures_are_those_of_the_scoring_script() {
    let (truths, answers) = (data("eval"), data("eval/answers"));
    let run = run(kiosk("eval").arg(&truths).arg("--given").arg(&answers), b"");
    let figures = std::fs::read_to_string(data("eval/figures.txt")).expect("figures");
    assert_agree(&ours(&run.stdout), &theirs(&figures));
    assert_eq!(run.code(), Some(1), "an answer is missing");
    assert!(run.stderr.contains("camera-d.json"), "{}", run.stderr);
    assert!(run.stdout.contains("the surest 80 %   confidence from 0.797  0.78 % wrong"));
    if let Some(samples) = samples() {
        assert_eq!(score(&samples, &truths, &answers), figures);
    }
}

#[test]
fn every_mistake_is_listed_on_demand() {
    let run = run(
        kiosk("eval").arg("-v").arg(data("eval")).arg("--given").arg(data("eval/answers")),
        b"",
    );
    for mistake in [
        "scan-a | cic_code | 6673137606 | 6673137608",
        "scan-a | outstanding_loans[1][0] | 32 | (no such row)",
        "scan-a | 1 rows invented",
        "copy-c | info[1].cic_code | 6673137606 | ",
        "camera-f | errorCode | 1",
    ] {
        assert!(run.stdout.contains(mistake), "{mistake}");
    }
}

#[test]
fn folder_without_truths_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(kiosk("eval").arg(folder.path()), b"");
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("holds no truth"), "{}", run.stderr);
}

/// On the samples where they are, else on the reports of this repository.
#[test]
fn values_are_as_right_as_promised_in_both_precisions() {
    let answers = tempfile::tempdir().expect("a folder");
    let folder = samples().unwrap_or_else(|| data("reports"));
    let [int8, fp32] = ["int8", "fp32"].map(|precision| {
        let mut command = kiosk("eval");
        command.args(["--precision", precision, "--answers"]).arg(answers.path());
        let run = run(command.arg(&folder), b"");
        println!("{precision}\n{}", run.stdout);
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        ours(&run.stdout)
    });
    for (kind, bar, may_invent) in BARS {
        let (Some(int8), Some(fp32)) = (int8.get(kind), fp32.get(kind)) else { continue };
        for figures in [int8, fp32] {
            assert!(figures.values >= Some(bar), "{kind}: {figures:?}, expected {bar}");
            assert!(may_invent || figures.invented == 0, "{kind}: {figures:?}");
        }
        let [int8, fp32] = [int8, fp32].map(|figures| figures.values.unwrap_or_default());
        assert!(fp32 - int8 <= 0.005, "{kind}: int8 {int8}, fp32 {fp32}");
    }
    if let Some(samples) = samples() {
        assert_agree(&fp32, &theirs(&score(&samples, &folder, answers.path())));
    }
}
