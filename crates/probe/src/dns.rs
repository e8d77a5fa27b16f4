//! Name servers: one question over UDP, and over TCP if the answer says that it is cut off (RFC 1035, RFC 7766).
//!
//! Invariants: an answer counts only if it comes from the server that was asked and repeats number and question;
//! whatever else arrives is passed over until the time is up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use crate::fail::Fail;
use crate::{ProbeError, Unmade};

/// Largest answer over UDP: a server that was not told otherwise sends 512.
const UDP_MAX_BYTES: usize = 4096;
/// Addresses that are named in a detail.
const NAMED_MAX: usize = 4;

/// How long the answer took, if there is one, and `wanted` is in it.
pub(crate) async fn look(
    server: SocketAddr,
    name: &str,
    wanted: Option<IpAddr>,
) -> Result<Duration, Fail> {
    let mut name = Name::from_ascii(name)
        .map_err(|_| Unmade::Order(ProbeError::Host { field: "name", given: name.to_owned() }))?;
    name.set_fqdn(true);
    let kinds: &[RecordType] = match wanted {
        Some(IpAddr::V4(_)) => &[RecordType::A],
        Some(IpAddr::V6(_)) => &[RecordType::AAAA],
        None => &[RecordType::A, RecordType::AAAA],
    };
    let begun = Instant::now();
    let mut found = Vec::new();
    for kind in kinds {
        let answer = ask(server, Query::query(name.clone(), *kind)).await?;
        if answer.metadata.response_code != ResponseCode::NoError {
            let detail = format!("it answers: {}", answer.metadata.response_code);
            return Err(Fail::wrong(begun.elapsed(), detail));
        }
        found.extend(answer.answers.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        }));
        if !found.is_empty() {
            break;
        }
    }
    let latency = begun.elapsed();
    match verdict(&found, wanted) {
        None => Ok(latency),
        Some(detail) => Err(Fail::wrong(latency, detail)),
    }
}

/// What is wrong with these addresses.
fn verdict(found: &[IpAddr], wanted: Option<IpAddr>) -> Option<String> {
    if found.is_empty() {
        return Some("it knows no address of that name".to_owned());
    }
    let wanted = wanted.filter(|wanted| !found.contains(wanted))?;
    let mut named: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    named.sort();
    named.truncate(NAMED_MAX);
    Some(format!("it answers {} and not {wanted}", named.join(", ")))
}

async fn ask(server: SocketAddr, query: Query) -> Result<Message, Fail> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(query);
    let unwritable = |error| Unmade::Local(std::io::Error::other(error));
    let bytes = question.to_vec().map_err(unwritable)?;
    let answer = over_udp(server, &question, &bytes).await?;
    if answer.metadata.truncation { over_tcp(server, &question, &bytes).await } else { Ok(answer) }
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Fail> {
    let any: IpAddr = if server.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(Unmade::Local)?;
    // Connected: what others send does not arrive.
    socket.connect(server).await.map_err(Fail::io)?;
    socket.send(bytes).await.map_err(Fail::io)?;
    let mut buffer = vec![0; UDP_MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(Fail::io)?;
        if let Some(answer) = read(&buffer[..length], question) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Fail> {
    let mut stream = TcpStream::connect(server).await.map_err(Fail::io)?;
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await.map_err(Fail::io)?;
    let length = stream.read_u16().await.map_err(Fail::io)?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await.map_err(Fail::io)?;
    read(&buffer, question)
        .ok_or_else(|| Fail::silent("what it answers is no answer to the question"))
}

/// The answer in these bytes, if it is one to this question.
fn read(bytes: &[u8], question: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let fits = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == question.queries;
    fits.then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_wished_for_has_to_be_there() {
        let [a, b]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        assert_eq!(verdict(&[a, b], Some(b)), None);
        assert_eq!(verdict(&[a, b], None), None);
        assert!(verdict(&[], None).unwrap().contains("no address"));
        let many: Vec<IpAddr> = (1..=200).map(|n| IpAddr::from([10, 0, 1, n])).collect();
        let detail = verdict(&many, Some(b)).unwrap();
        assert!(detail.len() < 100 && detail.ends_with("and not 10.0.0.2"), "{detail}");
    }

    #[test]
    fn only_an_answer_to_the_question_is_one() {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii("a.example.").unwrap(), RecordType::A));
        let answer = question.clone().into_response();
        assert!(read(&answer.to_vec().unwrap(), &question).is_some());
        assert!(read(&question.to_vec().unwrap(), &question).is_none(), "a question is no answer");
        let mut other = answer.clone();
        other.metadata.id ^= 1;
        assert!(read(&other.to_vec().unwrap(), &question).is_none());
        let mut other = answer.clone();
        other.queries[0].set_query_type(RecordType::AAAA);
        assert!(read(&other.to_vec().unwrap(), &question).is_none());
        assert!(read(&[], &question).is_none());
        // A name that points at itself.
        assert!(
            read(&[0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1], &question)
                .is_none()
        );
    }
}
