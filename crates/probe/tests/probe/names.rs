//! Name servers.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use lumbung_wire::messages::uptime::Probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::look;

/// What a server sends for a question over UDP, in this order.
type Answers = fn(Message) -> Vec<Vec<u8>>;

async fn name_server(over_udp: Answers, over_tcp: Answers) -> SocketAddr {
    // A port that is free for both.
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            for bytes in over_udp(Message::from_vec(&buffer[..length]).unwrap()) {
                udp.send_to(&bytes, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            for bytes in over_tcp(Message::from_vec(&question).unwrap()) {
                stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
        }
    });
    address
}

async fn asked(server: SocketAddr, address: &str) -> lumbung_probe::Seen {
    let probe = Probe::Dns {
        server: server.to_string(),
        name: "www.example.go.id".into(),
        address: address.into(),
    };
    look(probe).await
}

fn with(question: Message, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut answer = question.into_response();
    change(&mut answer);
    answer.to_vec().unwrap()
}

/// 10.0.0.7 and fd00::7, as asked for.
fn right(question: Message) -> Vec<Vec<u8>> {
    let query = question.queries[0].clone();
    let data = match query.query_type() {
        RecordType::A => RData::A(A(Ipv4Addr::new(10, 0, 0, 7))),
        _ => RData::AAAA(AAAA("fd00::7".parse().unwrap())),
    };
    let record = Record::from_rdata(query.name().clone(), 60, data);
    vec![with(question, |answer| answer.answers.push(record))]
}

fn nothing(_: Message) -> Vec<Vec<u8>> {
    Vec::new()
}

#[tokio::test]
async fn a_name_server_that_knows_the_name_is_up() {
    let server = name_server(right, nothing).await;
    for address in ["", "10.0.0.7", "fd00::7"] {
        let seen = asked(server, address).await;
        assert!(seen.up && seen.latency_ms.is_some(), "{address}: {seen:?}");
    }
    let seen = asked(server, "10.0.0.8").await;
    assert_eq!(seen.detail, "it answers 10.0.0.7 and not 10.0.0.8");
}

#[tokio::test]
async fn where_there_is_no_ipv4_address_an_ipv6_one_is_asked_for() {
    fn six(question: Message) -> Vec<Vec<u8>> {
        let is_four = question.queries[0].query_type() == RecordType::A;
        if is_four { vec![with(question, |_| {})] } else { right(question) }
    }
    assert!(asked(name_server(six, nothing).await, "").await.up);
    fn neither(question: Message) -> Vec<Vec<u8>> {
        vec![with(question, |_| {})]
    }
    let seen = asked(name_server(neither, nothing).await, "").await;
    assert_eq!(seen.detail, "it knows no address of that name");
}

#[tokio::test]
async fn a_refusal_is_down_with_its_reason() {
    fn no(question: Message) -> Vec<Vec<u8>> {
        vec![with(question, |answer| answer.metadata.response_code = ResponseCode::NXDomain)]
    }
    let seen = asked(name_server(no, nothing).await, "").await;
    assert!(!seen.up && seen.latency_ms.is_some(), "it did answer: {seen:?}");
    assert!(seen.detail.starts_with("it answers: Non-Existent"), "{seen:?}");
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_over_tcp() {
    fn cut(question: Message) -> Vec<Vec<u8>> {
        vec![with(question, |answer| answer.metadata.truncation = true)]
    }
    assert!(asked(name_server(cut, right).await, "10.0.0.7").await.up);
    fn garbage(_: Message) -> Vec<Vec<u8>> {
        vec![vec![0xff; 40]]
    }
    let seen = asked(name_server(cut, garbage).await, "10.0.0.7").await;
    assert_eq!(seen.detail, "what it answers is no answer to the question");
}

#[tokio::test]
async fn garbage_and_forged_answers_are_passed_over() {
    fn noisy(question: Message) -> Vec<Vec<u8>> {
        let mut forged = question.clone();
        forged.metadata.id ^= 0x5555;
        let mut other = question.clone();
        other.queries[0].set_query_type(RecordType::MX);
        let no = |message: Message| {
            with(message, |answer| answer.metadata.response_code = ResponseCode::Refused)
        };
        let mut all = vec![Vec::new(), vec![0xc0; 500], no(forged), no(other)];
        all.extend(right(question));
        all
    }
    let seen = asked(name_server(noisy, nothing).await, "10.0.0.7").await;
    assert!(seen.up, "{seen:?}");
}

#[tokio::test]
async fn nobody_at_the_port_is_down() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let seen = asked(address, "").await;
    assert_eq!(seen.detail, "the connection is refused: nothing listens there");
}
