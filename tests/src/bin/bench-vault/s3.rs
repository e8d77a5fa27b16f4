//! The same over an S3 store: what PUT, scrub and sweep take when packs are kept elsewhere. The vault runs all the
//! while: no figure has the start of a program in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lumbung_tests::process::output;

use crate::Arguments;
use crate::bed::{Agent, City, Owner, Site};
use crate::data::{self, Frames};
use crate::put::{FRAMES, Sent, send_rounds};
use lumbung_tests::figures::{Report, Target, float};

pub(crate) async fn measure(arguments: &Arguments, dir: &Path, report: &mut Report) -> Result<()> {
    println!("\nover an S3 store");
    let city = City::new()?;
    let agent = Agent::new();
    let owner = Arc::new(Owner::new(&agent, &[]));
    let mut site = Site::create(&city, dir, &settings(arguments, dir)?)?;
    site.start()?;
    let client = site.client(&city, &owner, &agent)?;
    let (session, bytes) = data::session(&owner, &agent);
    data::found(&client, &owner, &bytes).await?;
    // Frames of its own for each pack: a store may keep equal blocks once.
    let pack = || Frames::random(FRAMES).pack(&owner, &agent, session);
    let (mut packs, mut total) = (Vec::new(), 0);
    for connections in &arguments.connections {
        let with = (&city, &site, &owner, &agent);
        let sent = send_rounds(arguments, *connections, with, &pack, &mut |_| Ok(())).await?;
        let Sent { speed, cpu, ids, bytes } = sent;
        report.add(format!("S3: PUT, {connections} connections"), "MB/s", speed, Target::None);
        report.add(format!("… the vault's CPU, {connections}"), "s/GB", cpu, Target::None);
        packs.extend(ids.into_iter().map(|id| (id, FRAMES)));
        total += bytes;
    }
    let made = data::snapshot((&owner, &agent), session, data::FIRST, &packs)?;
    data::publish(&client, &owner, &made).await?;
    let console = |what: &str| -> Result<f64> {
        let since = Instant::now();
        output(site.command()?.args([what, "--json"]))?;
        Ok(since.elapsed().as_secs_f64())
    };
    let runs = |what: &str| (0..arguments.rounds).map(|_| console(what)).collect::<Result<_>>();
    let scrubs: Vec<f64> = runs("scrub")?;
    let speed = scrubs.iter().map(|taken_s| float(total) / 1e6 / taken_s).collect();
    report.add("S3: scrub", "MB/s", speed, Target::None);
    report.add(format!("S3: sweep of {} packs", packs.len()), "s", runs("gc")?, Target::None);
    site.stop()
}

/// The vault's `[storage]`.
fn settings(arguments: &Arguments, dir: &Path) -> Result<String> {
    let store = arguments.s3.as_deref().context(
        "the part s3 needs --s3 ENDPOINT,REGION,BUCKET,ACCESS_KEY,SECRET_KEY; `cargo xtask garage --bench` starts a \
         store of three nodes and gives it to this benchmark",
    )?;
    let [endpoint, region, bucket, access, secret] = store.split(',').collect::<Vec<_>>()[..]
    else {
        bail!("--s3 is ENDPOINT,REGION,BUCKET,ACCESS_KEY,SECRET_KEY")
    };
    let credentials = dir.join("s3.toml");
    let keys = format!("access_key = {access:?}\nsecret_key = {secret:?}\n");
    lumbung_store::durable::replace_file(&credentials, keys.as_bytes(), 0o600)?;
    let prefix = lumbung_model::SiteId::random();
    Ok(format!(
        "[storage]\nkind = \"s3\"\nendpoint = {endpoint:?}\nregion = {region:?}\nbucket = {bucket:?}\n\
         prefix = \"{prefix}\"\ncredentials = {credentials:?}\nallow_http = true\n"
    ))
}
