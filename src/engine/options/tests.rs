use std::time::Duration;

use super::super::tests::Bench;
use crate::bits::State;

#[tokio::test]
async fn a_transfer_that_runs_begins_anew_at_its_new_address() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx";
    let (bench, other) = (Bench::new(head).await, Bench::new(head).await);
    let id = bench.job().await;
    bench.reaches(id, State::Transferring).await;
    let (old, new) = (bench.url.clone(), other.url.clone());
    let changed = bench
        .engine
        .replace_remote_prefix(&bench.anna, id, old, new.clone());
    assert_eq!(changed.await.expect("replaced"), 1);
    let job = bench.engine.job(&bench.anna, id).expect("there");
    let files = bench.engine.files(&job, 0, 9).expect("read");
    assert_eq!(files[0].remote_url, new);
    for _ in 0..1_000 {
        if other.asked.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the other server is never asked");
}
