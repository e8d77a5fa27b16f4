//! Key files and other texts that people hand over, and the primitive encodings beneath everything.

use arbitrary::{Result, Unstructured};
use lumbung_model::Secret;
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::{FormatError, SigningKey, SiteIdentity, armor, grant, order, sign};
use lumbung_seal::{AgentIdentity, AgentPublic, KeyBundlePublic, KeyShare, RequesterIdentity};

use crate::objects::as_written;
use crate::structured;

const TITLES: [&str; 5] = [
    "LUMBUNG KEY BUNDLE 1",
    "LUMBUNG AGENT IDENTITY 1",
    "LUMBUNG SITE IDENTITY 1",
    "LUMBUNG MACHINE REQUESTER KEY 1",
    "LUMBUNG REQUESTER KEY 1",
];

/// A key file's text; what is read is written as the same object.
fn key_text(text: &str) {
    for title in TITLES {
        if let Ok(object) = armor::decode(title, text) {
            let normal = armor::encode(title, &object);
            assert_eq!(armor::decode(title, &normal).as_ref(), Ok(&object));
        }
    }
    if let Ok(site) = SiteIdentity::from_text(text) {
        let object = armor::decode(TITLES[2], text).expect("it was read");
        assert_eq!(site.to_text(), armor::encode(TITLES[2], &as_written(&object)));
    }
    if let Ok(agent) = AgentIdentity::from_text(text) {
        let object = armor::decode(TITLES[1], text).expect("it was read");
        assert_eq!(agent.to_text().as_str(), armor::encode(TITLES[1], &as_written(&object)));
    }
    if let Ok(requester) = RequesterIdentity::from_machine_text(text) {
        let object = armor::decode(TITLES[3], text).expect("it was read");
        let written = requester.to_machine_text();
        assert_eq!(written.as_str(), armor::encode(TITLES[3], &as_written(&object)));
    }
    if let Ok((_, name)) = RequesterIdentity::public(text) {
        assert!(name.len() <= 255);
    }
    if let Ok(bundle) = KeyBundlePublic::from_text(text) {
        assert!(bundle.label().len() <= 255);
    }
}

/// A text, and as well an object that is put into one: the fuzzer cannot guess a checksum.
pub(crate) fn key_files(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        key_text(text);
    }
    for title in TITLES {
        let text = armor::encode(title, data);
        let object = armor::decode(title, &text).expect("what was written is read");
        assert_eq!(object.as_slice(), data);
        key_text(&text);
    }
}

/// The file that holds the signed copies of an order; an object that is no text is put into one.
pub(crate) fn order_file(data: &[u8]) {
    let check = |text: &str| {
        let Ok(copies) = order::read_orders(text) else { return };
        assert!(!copies.is_empty());
        let again: String = copies.iter().map(|(_, bytes)| order::write_order(bytes)).collect();
        assert_eq!(order::read_orders(&again).as_ref(), Ok(&copies));
        let bodies: Vec<_> = copies.into_iter().map(|(copy, _)| copy).collect();
        let signers: Vec<_> = bodies.iter().map(|copy| copy.signer).collect();
        if let Ok((owner, dinas)) = order::agreed(&bodies, |key| *key == signers[0], &signers) {
            assert_eq!(owner.body, dinas.body, "two decisions were taken for one");
            assert_ne!(owner.signer, dinas.signer, "one key counted twice");
        }
    };
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    check(&order::write_order(data));
    // The same order, signed by two.
    let mut reader = Reader::new(data);
    let order = lumbung_pack::Header::expect(lumbung_pack::Kind::Order, &mut reader)
        .and_then(|header| lumbung_pack::Object::read_body(header.repository, &mut reader));
    if let Ok(order) = order {
        let order: lumbung_pack::Order = order;
        let copy = |seed| {
            order::write_order(&sign(&order, &SigningKey::from_seed(&Secret::new([seed; 32]))))
        };
        check(&(copy(1) + &copy(2)));
    }
}

/// The file of a consent's grants; an object that is no text is put into one.
pub(crate) fn grant_file(data: &[u8]) {
    let check = |text: &str| {
        let Ok(grants) = grant::read_grants(text) else { return };
        assert!(!grants.is_empty());
        let again = grant::write_grants(grants.iter().map(|(_, bytes)| bytes.as_slice()));
        assert_eq!(grant::read_grants(&again).as_ref(), Ok(&grants));
        let parts = grants.iter().map(|(grant, _)| usize::from(grant.body.part));
        assert!(parts.eq(1..=grants.len()), "parts are missing, or one is there twice");
        assert!(grants.iter().all(|(one, _)| one.body.consent == grants[0].0.body.consent));
    };
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
        let _request = grant::read_request(text);
        let _approval = lumbung_pack::standing::read_approval(text);
    }
    check(&grant::write_grants([data]));
}

/// A share's file, with or without the numbers of its lines.
pub(crate) fn share_file(data: &[u8]) {
    let check = |text: &str| {
        let Ok(share) = KeyShare::from_text(text) else { return };
        assert!((1..=share.of().shares).contains(&share.number()));
        assert!((2..=share.of().shares).contains(&share.of().threshold));
        let again = KeyShare::from_text(&share.to_text()).expect("what was written is read");
        assert!(again.of() == share.of() && again.number() == share.number());
        assert_eq!(again.holder(), share.holder());
    };
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    check(&armor::encode("LUMBUNG KEY SHARE 1", data));
}

pub(crate) fn agent_code(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(agent) = text.parse::<AgentPublic>() else { return };
    assert_eq!(agent.to_string().parse(), Ok(agent));
    assert_eq!(agent.to_string(), text.trim(), "a code has one spelling");
}

/// A field of one of the primitive encodings.
#[derive(Debug, PartialEq)]
enum Field {
    U16(u16),
    U64(u64),
    I64(i64),
    Varint(u64),
    Svarint(i64),
    Str(String),
    Bytes(Vec<u8>),
}

impl Field {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match u.int_in_range(0..=6)? {
            0 => Self::U16(u.arbitrary()?),
            1 => Self::U64(u.arbitrary()?),
            2 => Self::I64(u.arbitrary()?),
            3 => Self::Varint(u.arbitrary::<u64>()? >> u.int_in_range(0..=63)?),
            4 => Self::Svarint(u.arbitrary::<i64>()? >> u.int_in_range(0..=63)?),
            5 => Self::Str(u.arbitrary::<&str>()?.chars().take(60).collect()),
            _ => Self::Bytes(u.arbitrary::<&[u8]>()?.to_vec()),
        })
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::U16(value) => writer.u16(*value),
            Self::U64(value) => writer.u64(*value),
            Self::I64(value) => writer.i64(*value),
            Self::Varint(value) => writer.varint(*value),
            Self::Svarint(value) => writer.svarint(*value),
            Self::Str(value) => writer.str(value),
            Self::Bytes(value) => writer.bytes(value),
        };
    }

    /// Reads a field of this one's type.
    fn read(&self, reader: &mut Reader<'_>) -> std::result::Result<Self, FormatError> {
        Ok(match self {
            Self::U16(_) => Self::U16(reader.u16()?),
            Self::U64(_) => Self::U64(reader.u64()?),
            Self::I64(_) => Self::I64(reader.i64()?),
            Self::Varint(_) => Self::Varint(reader.varint()?),
            Self::Svarint(_) => Self::Svarint(reader.svarint()?),
            Self::Str(_) => Self::Str(reader.str()?),
            Self::Bytes(_) => Self::Bytes(reader.bytes(1 << 20)?.to_vec()),
        })
    }
}

fn fields(u: &mut Unstructured<'_>) -> Result<()> {
    let mut fields = Vec::new();
    for _ in 0..u.int_in_range(0..=12)? {
        fields.push(Field::arbitrary(u)?);
    }
    let mut writer = Writer::new();
    fields.iter().for_each(|field| field.write(&mut writer));
    let bytes = writer.into_bytes();
    let mut reader = Reader::new(&bytes);
    for field in &fields {
        assert_eq!(field.read(&mut reader).as_ref(), Ok(field));
    }
    assert_eq!(reader.finish(), Ok(()));
    // Other bytes, read as the same fields: whatever is read would be written so.
    let noise = u.bytes(u.len())?;
    let mut reader = Reader::new(noise);
    for field in &fields {
        let before = noise.len() - reader.remaining();
        let Ok(read) = field.read(&mut reader) else { return Ok(()) };
        let mut writer = Writer::new();
        read.write(&mut writer);
        assert_eq!(writer.as_bytes(), &noise[before..noise.len() - reader.remaining()]);
    }
    Ok(())
}

pub(crate) fn codec(data: &[u8]) {
    structured::check(data, fields);
}
