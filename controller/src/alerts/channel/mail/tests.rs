//! A mail server's pace: one that is slow is waited for, one that hangs is not waited for longer than its phase.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, DuplexStream,
    ReadBuf,
};
use tokio::time::Instant;

use super::*;

/// A connection in memory, so that nothing but the clock passes.
#[derive(Debug)]
struct Pipe(DuplexStream);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Pipe {
    fn peer_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 25)))
    }
}

/// How long a server takes for an answer, s, and what it answers.
type Answers = [(u64, &'static str); 4];

/// Answers MAIL, RCPT, DATA and the text.
async fn serve(stream: DuplexStream, answers: Answers) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test\r\n").await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    stream.write_all(b"250 mail.test\r\n").await.unwrap();
    for (index, (after_s, answer)) in answers.into_iter().enumerate() {
        line.clear();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            if index < 3 || line == ".\r\n" {
                break;
            }
            line.clear();
        }
        tokio::time::sleep(Duration::from_secs(after_s)).await;
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What became of a mail to a server with these answers, and how long it took, s.
async fn sent(answers: Answers) -> (Outcome, u64) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(theirs, answers));
    let hello = ClientId::default();
    let stream = Box::new(Pipe(ours));
    let mut server = AsyncSmtpConnection::connect_with_transport(stream, &hello).await.unwrap();
    let address = |text: &str| text.parse::<Address>().unwrap();
    let begun = Instant::now();
    let (from, to) = (address("l@example.go.id"), address("budi@example.go.id"));
    let outcome = hand_over(&mut server, &from, to, b"Subject: x\r\n\r\ny").await;
    let took_s = begun.elapsed().as_secs();
    serving.abort();
    (outcome, took_s)
}

const FINE: [(u64, &str); 4] = [(0, "250 ok"), (0, "250 ok"), (0, "354 go on"), (0, "250 kept")];

#[tokio::test(start_paused = true)]
async fn a_server_that_thinks_for_nine_minutes_over_a_text_has_taken_it() {
    let mut slow = FINE;
    (slow[0].0, slow[1].0, slow[2].0, slow[3].0) = (290, 290, 110, 540);
    assert_eq!(sent(slow).await.0, Outcome::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up_and_only_after_the_text_may_it_have_taken_it() {
    const NEVER: u64 = 100_000;
    for (phase, most_s) in [(0, COMMAND), (1, COMMAND), (2, LEAVE)] {
        let mut hangs = FINE;
        hangs[phase].0 = NEVER;
        let (outcome, took_s) = sent(hangs).await;
        assert!(matches!(outcome, Outcome::Later(_, None)), "{outcome:?}");
        assert_eq!(took_s, most_s.as_secs(), "of the paused clock");
    }
    let mut hangs = FINE;
    hangs[3].0 = NEVER;
    let (outcome, took_s) = sent(hangs).await;
    assert!(matches!(outcome, Outcome::Unanswered(_)), "{outcome:?}");
    assert_eq!(took_s, TEXT.as_secs(), "of the paused clock");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_our_sake_is_not_final() {
    let answer = |phase: usize, answer: &'static str| {
        let mut answers = FINE;
        answers[phase].1 = answer;
        sent(answers)
    };
    for (phase, text) in [
        (1, "554 5.7.1 <budi@example.go.id>: Relay access denied"),
        (1, "550 relay not permitted"),
        (3, "554 5.7.1 spam"),
        (3, "550 no such person"),
    ] {
        let (outcome, _) = answer(phase, text).await;
        assert!(
            matches!(&outcome, Outcome::Refused(reason) if reason.contains(&text[4..])),
            "{text}: {outcome:?}"
        );
    }
    for (phase, text) in
        [(1, "550 5.1.1 unknown"), (1, "550 no such person"), (3, "550 5.2.1 disabled")]
    {
        let (outcome, _) = answer(phase, text).await;
        assert!(matches!(outcome, Outcome::Never(_)), "{text}: {outcome:?}");
    }
    for (phase, text) in
        [(0, "550 5.1.1 who are you"), (1, "450 4.2.1 later"), (3, "451 4.7.1 greylisted")]
    {
        let (outcome, _) = answer(phase, text).await;
        assert!(matches!(outcome, Outcome::Later(..)), "{text}: {outcome:?}");
    }
}
