use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use lumbung_model::{FixedClock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::metrics::Metric;

const CALLS: Metric = Metric::gauge("lumbung_test_calls", &[], "How often it was gathered.");
const PROGRAM: (&str, &str) = ("lumbung-test", "1.2.3");

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::new(Timestamp(1_800_000_000)))
}

/// Figures that say how often they were gathered.
fn counting() -> Gather {
    let calls = AtomicUsize::new(0);
    Box::new(move || {
        let mut figures = Figures::new(&[CALLS]);
        figures.count(&CALLS, &[], 1 + calls.fetch_add(1, Ordering::SeqCst) as u64);
        Ok(figures)
    })
}

/// Pages that are never fresh, for who does not wait where there is one.
fn impatient(gather: Gather) -> Arc<Pages> {
    let pages = Pages::new(PROGRAM, clock(), gather);
    Arc::new(Pages { fresh: Duration::ZERO, patience: Duration::ZERO, ..pages })
}

fn has(page: &Bytes, line: &str) -> bool {
    String::from_utf8_lossy(page).contains(line)
}

fn settings(listen: &str) -> Settings {
    serde_json::from_value(serde_json::json!({ "listen": listen })).unwrap()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_shows_metrics_and_nothing_else_until_it_is_told_to_stop() {
    let endpoint = Endpoint::bind(Some(settings("127.0.0.1:0"))).await.unwrap().unwrap();
    let address = endpoint.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let served = tokio::spawn(endpoint.serve(PROGRAM, clock(), counting(), shutdown));
    let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    for line in [
        "lumbung_build_info{program=\"lumbung-test\",version=\"1.2.3\"} 1.0\n",
        "lumbung_gathered_timestamp_seconds 1800000000.0\n",
        "lumbung_test_calls 1.0\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    // Within the page's time nobody is made to gather again.
    let again = ask(address, "GET /metrics?x=y HTTP/1.0\r\n\r\n").await;
    assert!(again.contains("lumbung_test_calls 1.0\n"), "{again}");
    let other = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let post = ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET"), "{post}");
    // A connection that says nothing does not hold up the end.
    let _silent = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_what_to_do() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let Err(error) = Endpoint::bind(Some(settings(&address.to_string()))).await else {
        panic!("bound twice")
    };
    assert!(error.to_string().contains(&format!("{address}: write another `listen`")), "{error}");
    assert!(Endpoint::bind(None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_page_that_is_old_is_made_anew_and_a_failure_is_told() {
    let pages = Pages::new(PROGRAM, clock(), counting());
    let pages = Arc::new(Pages { fresh: Duration::ZERO, ..pages });
    for calls in 1..=3 {
        let page = pages.newest().await.unwrap();
        assert!(has(&page, &format!("lumbung_test_calls {calls}.0\n")));
        // How long it took to make sets a least age, however short that was.
        pages.state().until = None;
    }
    let failing: [Gather; 2] = [
        Box::new(|| Err(MetricsError::gathering(std::io::Error::other("the disk is gone")))),
        Box::new(|| panic!("gathering")),
    ];
    for gather in failing {
        let pages = impatient(gather);
        assert!(pages.newest().await.is_none());
        let request = Request::get("/metrics").body(()).unwrap();
        assert_eq!(answer(&request, &pages).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn all_who_ask_at_once_wait_for_one_page() {
    let (go, wait) = mpsc::channel::<()>();
    let (wait, inner) = (Mutex::new(wait), counting());
    let gather: Gather = Box::new(move || {
        wait.lock().unwrap().recv().unwrap();
        inner()
    });
    let pages = Arc::new(Pages::new(PROGRAM, clock(), gather));
    let mut asking = JoinSet::new();
    for _ in 0..5 {
        let pages = Arc::clone(&pages);
        asking.spawn(async move { pages.newest().await });
    }
    // One is enough for all of them: another would wait for ever.
    go.send(()).unwrap();
    while let Some(page) = asking.join_next().await {
        let page = page.unwrap().unwrap();
        assert!(has(&page, "lumbung_test_calls 1.0\n"));
    }
}

#[tokio::test]
async fn who_asks_while_a_page_takes_long_gets_the_one_before() {
    let (go, wait) = mpsc::channel::<()>();
    let (wait, inner) = (Mutex::new(wait), counting());
    let gather: Gather = Box::new(move || {
        // Its end lets the thread go on.
        let _ = wait.lock().unwrap().recv();
        inner()
    });
    let pages = impatient(gather);
    go.send(()).unwrap();
    let first = pages.newest().await.unwrap();
    pages.state().until = None;
    assert_eq!(pages.newest().await.unwrap(), first);
    let mut made = pages.state().making.clone().unwrap();
    drop(go);
    while made.changed().await.is_ok() {}
    let page = pages.state().page.clone().unwrap();
    assert!(has(&first, "lumbung_test_calls 1.0\n") && has(&page, "lumbung_test_calls 2.0\n"));
}
