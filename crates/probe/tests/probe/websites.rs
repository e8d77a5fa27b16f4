//! HTTP, HTTPS and plain TCP.

use lumbung_model::Timestamp;
use lumbung_probe::{Prober, Seen, Unmade};
use lumbung_wire::messages::uptime::{CheckOrder, Probe};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::targets::{Answer, City, answer, serve};
use crate::{here, look, order, prober};

/// 2100-01-01.
const FAR: Timestamp = Timestamp(4_102_444_800);
/// 2021-01-01.
const PAST: Timestamp = Timestamp(1_609_459_200);

fn page(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn http(url: String, status: Option<u16>, text: &str) -> Probe {
    Probe::Http { url, status, text: text.into(), any_certificate: false }
}

async fn seen(what: Answer, status: Option<u16>, text: &str) -> Seen {
    let (address, _heads) = serve(what, None).await;
    look(http(format!("http://{address}/"), status, text)).await
}

#[tokio::test]
async fn a_website_that_answers_is_up() {
    let (address, mut heads) = serve(answer(page("Selamat datang")), None).await;
    let seen = look(http(format!("http://{address}/sehat?a=1"), None, "")).await;
    assert!(seen.up && seen.latency_ms.is_some() && seen.detail.is_empty(), "{seen:?}");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /sehat?a=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("lumbung-probe/"), "{head}");
}

#[tokio::test]
async fn status_and_text_are_compared() {
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    for (text, status, wanted, detail) in [
        (page("Selamat datang"), None, "datang", ""),
        (page("Selamat datang"), Some(200), "", ""),
        (page("Selamat datang"), Some(204), "", "it answers 200 instead of 204"),
        (page("pemeliharaan"), None, "datang", "the expected text is not in what it answers"),
        (unavailable.to_owned(), None, "", "it answers 503"),
        (unavailable.to_owned(), Some(503), "", ""),
    ] {
        let seen = seen(answer(text.clone()), status, wanted).await;
        assert_eq!((seen.up, seen.detail.as_str()), (detail.is_empty(), detail), "{text}");
        assert!(seen.latency_ms.is_some(), "it did answer: {text}");
    }
}

#[tokio::test]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let (elsewhere, mut asked) = serve(answer(page("")), None).await;
    let to =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    assert!(seen(answer(to.clone()), None, "").await.up);
    assert_eq!(seen(answer(to), Some(200), "").await.detail, "it answers 302 instead of 200");
    assert!(asked.try_recv().is_err(), "nobody asked there");
}

#[tokio::test]
async fn every_probe_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let prober = prober();
    for _ in 0..2 {
        let order = order(http(url.clone(), None, ""));
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = page("keep this connection open");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (_held_open, seen) = tokio::join!(serving, prober.look(&order));
        assert!(seen.unwrap().up);
    }
}

#[tokio::test]
async fn text_beyond_the_first_part_and_endless_bodies_are_not_waited_for() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = Answer { once: head.clone().into_bytes(), forever: chunk.clone().into_bytes() };
    let seen_endless = seen(endless, None, "datang").await;
    assert_eq!(seen_endless.detail, "the expected text is not in what it answers");
    // Across the border of two chunks, within what is read: found. Behind it: not.
    let split = format!("{head}{}5\r\nxxdat\r\n3\r\nang\r\n0\r\n\r\n", chunk.repeat(3));
    assert!(seen(answer(split), None, "datang").await.up);
    let late = format!("{head}{}6\r\ndatang\r\n0\r\n\r\n", chunk.repeat(4));
    assert!(!seen(answer(late), None, "datang").await.up);
}

#[tokio::test]
async fn heads_without_end_and_nonsense_are_no_answers() {
    let forever =
        "x-header: a value of some length that goes on and on\r\n".repeat(100).into_bytes();
    let huge = Answer { once: b"HTTP/1.1 200 OK\r\n".to_vec(), forever };
    for bad in [huge, answer("SSH-2.0-OpenSSH_9.6\r\n\r\n"), answer(""), answer("HTTP/1.1 ")] {
        let seen = seen(bad, None, "").await;
        assert!(!seen.up && !seen.detail.is_empty() && seen.latency_ms.is_none(), "{seen:?}");
    }
}

#[tokio::test]
async fn the_expiry_is_told_whatever_the_verdict_is() {
    let city = City::new("city");
    let prober = Prober::with_authorities(here(), vec![city.authority.clone()]);
    let stranger = City::new("stranger");
    for (tls, any_certificate, expires, detail) in [
        (city.tls("127.0.0.1", 2100), false, FAR, ""),
        (city.tls("127.0.0.1", 2021), false, PAST, "the certificate has expired"),
        (city.tls("www.example.go.id", 2100), false, FAR, "the certificate is for another name"),
        (
            stranger.tls("127.0.0.1", 2100),
            false,
            FAR,
            "the certificate is of no authority that is known here",
        ),
        (stranger.tls("127.0.0.1", 2021), true, PAST, ""),
    ] {
        let (address, _heads) = serve(answer(page("ok")), Some(tls)).await;
        let url = format!("https://{address}/");
        let probe = Probe::Http { url, status: None, text: "ok".into(), any_certificate };
        let seen = prober.look(&order(probe)).await.unwrap();
        assert_eq!((seen.up, seen.detail.as_str()), (detail.is_empty(), detail));
        assert_eq!(seen.certificate_expires, Some(expires), "{detail}");
    }
}

#[tokio::test]
async fn without_authorities_https_is_not_judged() {
    let (address, _heads) =
        serve(answer(page("")), Some(City::new("city").tls("127.0.0.1", 2100))).await;
    let result = prober().look(&order(http(format!("https://{address}/"), None, ""))).await;
    assert!(matches!(result, Err(Unmade::Authorities)), "{result:?}");
}

#[tokio::test]
async fn https_of_what_speaks_no_tls_is_down() {
    let (address, _heads) = serve(answer(page("")), None).await;
    let probe = Probe::Http {
        url: format!("https://{address}/"),
        status: None,
        text: String::new(),
        any_certificate: true,
    };
    // The server waits for the end of a head that never comes; a TLS client's first message has none.
    let order = CheckOrder { timeout_s: 1, ..order(probe) };
    let seen = prober().look(&order).await.unwrap();
    assert!(!seen.up && seen.certificate_expires.is_none(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn who_accepts_and_says_nothing_is_down_when_the_time_is_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for scheme in ["http", "https"] {
        let probe = Probe::Http {
            url: format!("{scheme}://{address}/"),
            status: None,
            text: String::new(),
            any_certificate: true,
        };
        let begun = tokio::time::Instant::now();
        let seen = look(probe).await;
        assert_eq!((seen.up, seen.detail.as_str()), (false, "no answer within 20 s"), "{scheme}");
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}

#[tokio::test]
async fn ports_are_open_or_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = Probe::Tcp { host: "127.0.0.1".into(), port };
    assert!(look(probe.clone()).await.up);
    let probe_by_name = Probe::Tcp { host: "localhost".into(), port };
    assert!(look(probe_by_name).await.up, "by name");
    drop(listener);
    let seen = look(probe).await;
    assert_eq!(seen.detail, "the connection is refused: nothing listens there");
    assert_eq!(seen.latency_ms, None);
}

#[tokio::test]
async fn a_name_without_an_address_is_down() {
    let seen = look(Probe::Tcp { host: "nowhere.invalid".into(), port: 80 }).await;
    assert!(!seen.up && seen.detail.starts_with("the name has no address"), "{seen:?}");
}

#[tokio::test]
async fn what_is_out_of_reach_is_not_spoken_to_and_not_down() {
    let (address, mut heads) = serve(answer(page("")), None).await;
    let prober = Prober::with_authorities(lumbung_probe::Reach::everywhere(), Vec::new());
    let port = address.port();
    for probe in [
        http(format!("http://{address}/"), None, ""),
        http(format!("http://localhost:{port}/"), None, ""),
        http(format!("http://0x7f.1:{port}/"), None, ""),
        http(format!("http://[::ffff:127.0.0.1]:{port}/"), None, ""),
        Probe::Tcp { host: "localhost".into(), port },
        Probe::Icmp { host: "169.254.169.254".into() },
        Probe::Dns {
            server: "127.0.0.53".into(),
            name: "a.example".into(),
            address: String::new(),
        },
    ] {
        let result = prober.look(&order(probe.clone())).await;
        assert!(matches!(result, Err(Unmade::Elsewhere { .. })), "{probe:?}: {result:?}");
    }
    assert!(heads.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn an_order_beyond_its_limits_is_not_carried_out() {
    let probe = Probe::Tcp { host: "127.0.0.1".into(), port: 9 };
    let order = CheckOrder { interval_s: 1, ..order(probe) };
    assert!(matches!(prober().look(&order).await, Err(Unmade::Order(_))));
}
