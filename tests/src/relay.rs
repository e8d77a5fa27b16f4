//! A relay that makes loopback a long line: it delays and caps each direction and holds a bounded queue, as the
//! router before a bottleneck does.
//!
//! Invariants: all connections share one line in each direction; bytes keep their order; nothing is dropped: where
//! the queue is full, nothing more is read, and the sender's TCP stops. (So loss and slow start are not modelled:
//! what is measured is whether enough is under way at any moment.)

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// Pieces under way in one direction of one connection whose receiver does not read.
const PIECES: usize = 4096;

/// What a line does to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// From one end to the other.
    pub delay: Duration,
    /// The most that passes.
    pub bytes_per_s: u64,
    /// Bytes that wait at its beginning before their sender has to.
    pub queue_bytes: u64,
}

impl Line {
    /// A line with a queue of one bandwidth-delay product, there and back.
    #[must_use]
    pub fn with_mbit_per_s(mbit: u64, delay: Duration) -> Self {
        let bytes_per_s = mbit * 1_000_000 / 8;
        let round_trip_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX) * 2;
        Self { delay, bytes_per_s, queue_bytes: bytes_per_s * round_trip_us / 1_000_000 }
    }

    fn duration_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.bytes_per_s)
    }
}

/// One direction of the line. Pure: it is told the time.
#[derive(Debug)]
struct Direction {
    line: Line,
    /// When the last byte of the queue will have left.
    free_at: Instant,
}

impl Direction {
    /// When there is room in the queue again.
    fn room_at(&self) -> Instant {
        let queue = self.line.duration_of(self.line.queue_bytes);
        self.free_at.checked_sub(queue).unwrap_or(self.free_at)
    }

    /// Puts bytes in the queue; says when they arrive at the other end.
    fn send(&mut self, now: Instant, bytes: u64) -> Instant {
        self.free_at = self.free_at.max(now) + self.line.duration_of(bytes);
        self.free_at + self.line.delay
    }
}

type Shared = Arc<Mutex<Direction>>;

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Begins to relay connections to `target`. Called within a runtime.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(target: SocketAddr, line: Line) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let direction = || Arc::new(Mutex::new(Direction { line, free_at: Instant::now() }));
        let (there, back) = (direction(), direction());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (there, back) = (Arc::clone(&there), Arc::clone(&back));
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    // Without it, the kernel would add waiting of its own.
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((from_near, to_near), (from_far, to_far)) =
                        (near.into_split(), far.into_split());
                    tokio::join!(carry(from_near, to_far, there), carry(from_far, to_near, back));
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one direction of one connection to its end.
async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, direction: Shared) {
    let (queue, queued) = mpsc::channel(PIECES);
    tokio::join!(take(from, queue, direction), deliver(queued, to));
}

async fn take(mut from: OwnedReadHalf, queue: mpsc::Sender<(Instant, Vec<u8>)>, direction: Shared) {
    loop {
        let room_at = direction.lock().unwrap_or_else(PoisonError::into_inner).room_at();
        if room_at > Instant::now() {
            sleep_until(room_at).await;
            continue;
        }
        let mut piece = vec![0; PIECE];
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        piece.truncate(length);
        let arrives = direction
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(Instant::now(), length as u64);
        if queue.send((arrives, piece)).await.is_err() {
            return;
        }
    }
}

async fn deliver(mut queued: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((arrives, piece)) = queued.recv().await {
        sleep_until(arrives).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    // The other end learns that this one has ended; it may have gone before.
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line =
        Line { delay: Duration::from_millis(15), bytes_per_s: 1000, queue_bytes: 30 };

    #[test]
    fn the_queue_is_one_product_of_bandwidth_and_round_trip() {
        let line = Line::with_mbit_per_s(100, Duration::from_millis(15));
        assert_eq!((line.bytes_per_s, line.queue_bytes), (12_500_000, 375_000));
    }

    #[test]
    fn bytes_leave_one_after_the_other_and_arrive_later() {
        let now = Instant::now();
        let mut direction = Direction { line: LINE, free_at: now };
        assert_eq!(direction.send(now, 10), now + Duration::from_millis(25));
        assert_eq!(direction.send(now, 20), now + Duration::from_millis(45));
        assert!(direction.room_at() <= now, "30 bytes fill the queue and no more");
        direction.send(now, 10);
        assert_eq!(direction.room_at(), now + Duration::from_millis(10));
        let later = now + Duration::from_secs(9);
        assert_eq!(direction.send(later, 1), later + Duration::from_millis(16), "an idle line");
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_both_ways() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let line = Line::with_mbit_per_s(1000, Duration::from_millis(1));
        let relay = Relay::start(server.local_addr().unwrap(), line).await.unwrap();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut from, mut to) = TcpStream::connect(relay.address()).await.unwrap().into_split();
        let mut received = Vec::new();
        let (_, read) = tokio::join!(
            async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            },
            from.read_to_end(&mut received)
        );
        read.unwrap();
        echo.await.unwrap();
        assert!(received == sent, "bytes changed on their way");
    }
}
