//! What the outbox can do. Not part of the tests: run it in release mode, with `--ignored`.

use std::time::Instant;

use super::*;

/// As large as the answer of a full report.
const RESULT: usize = 12_000;

const CALLERS: usize = 64;

async fn store(outbox: &Outbox, callers: usize, results: usize) -> f64 {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let outbox = outbox.clone();
        tasks.spawn(async move {
            for _ in 0..results / callers {
                outbox.put(Ulid::new(), vec![b'x'; RESULT]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    results as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, for a minute"]
async fn bench_outbox() {
    // In the state folder's place: a temporary folder may be no disk at all.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let fixture = Fixture { folder, ..Fixture::new() };
    let outbox = fixture.open();
    println!("one commit for each result: {:8.0} results/s", store(&outbox, 1, 500).await);
    println!(
        "{CALLERS} callers, group commit: {:8.0} results/s",
        store(&outbox, CALLERS, 6400).await
    );
    println!("filling up to 50000");
    store(&outbox, CALLERS, 43_136).await;
    let begun = Instant::now();
    let figures = outbox.figures().await.unwrap();
    println!("figures of {} results: {:?}", figures.results_waiting, begun.elapsed());
    let begun = Instant::now();
    let window = outbox.waiting(None, 100).await.unwrap();
    println!("window of {} results: {:?}", window.len(), begun.elapsed());
    drop(outbox);
    let begun = Instant::now();
    let outbox = fixture.open();
    println!("open with that backlog, {} MiB: {:?}", figures.bytes >> 20, begun.elapsed());
    let begun = Instant::now();
    let mut delivered = 0;
    loop {
        let window = outbox.waiting(None, 100).await.unwrap();
        if window.is_empty() {
            break;
        }
        delivered += window.len();
        outbox.delivered(window.iter().map(|result| result.seq).collect()).await.unwrap();
    }
    println!(
        "read and delivered: {:8.0} results/s",
        delivered as f64 / begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    fixture.pass(DAY);
    let erased = outbox.tidy(fixture.now()).await.unwrap().erased;
    println!("erased {erased}: {:?}", begun.elapsed());
}
