//! One large file up through the server and down again, beside `cp` of the same file on the same disk with a sync: MiB/s.
//!
//! The generator passes the bytes between file and socket in blocks, as clients do: letting the kernel move them (sendfile, splice)
//! took it longer than the server needs. A download counts once its file is synced, as the copy does; an upload once it is
//! acknowledged.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use testkit::random::Random;

use super::{Definition, Sample, interleave};
use crate::contender::{Contender, Side};
use crate::data::ARTIFACTS_API;
use crate::options::Options;
use crate::results::{Figure, Unit};
use crate::wire;
use bench::load::expect_ok;

const FILE_MIB: usize = 512;
const MIB: u64 = 1 << 20;

/// Which way the file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let folder = tempfile::Builder::new().prefix("strongback-bench-file-").tempdir()?;
    let source = folder.path().join("source");
    write_source(&source)?;
    [Way::Up, Way::Down].into_iter().map(|way| way.measure(options, contenders, &source)).collect()
}

/// What no file system and no protocol can make smaller.
fn write_source(path: &Path) -> Result<()> {
    let mut random = Random::new(512);
    let mut file = File::create(path)?;
    let mut block = vec![0_u8; 1 << 20];
    for _ in 0..FILE_MIB {
        block.chunks_exact_mut(8).for_each(|each| each.copy_from_slice(&random.bits().to_le_bytes()));
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(())
}

impl Way {
    fn measure(self, options: &Options, contenders: &mut [Contender], source: &Path) -> Result<Figure> {
        let (name, moved) = match self {
            Self::Up => ("artifact-upload", "up, acknowledged"),
            Self::Down => ("artifact-download", "down into a file, synced"),
        };
        let definition = Definition {
            name: name.into(),
            unit: Unit::MebibytesPerSecond,
            text: format!(
                "one file of {FILE_MIB} MiB {moved}; one client; `cp` with a sync right before each round"
            ),
            warm_up: true,
        };
        let mut copies: Vec<(Side, f64)> = Vec::new();
        let mut figure = interleave(options, contenders, &definition, |contender, _| {
            let target = Target::new(contender)?;
            copies.push((contender.side, copy(source)?));
            let value = match self {
                Self::Up => {
                    let rate = target.upload(contender, source)?;
                    let back = source.with_extension("back");
                    target.download(contender, &back)?;
                    same(source, &back)?;
                    rate
                }
                Self::Down => {
                    target.upload(contender, source)?;
                    rustix::fs::sync();
                    let back = source.with_extension("back");
                    let rate = target.download(contender, &back)?;
                    same(source, &back)?;
                    rate
                }
            };
            target.remove(contender)?;
            Ok(Sample { value, requests: 1, ..Sample::default() })
        })?;
        for measured in std::iter::once(&mut figure.ours).chain(figure.peer.as_mut()) {
            let skipped = copies.len() - contenders.len() * options.rounds;
            let mut rates: Vec<f64> = copies[skipped..]
                .iter()
                .filter(|(side, _)| *side == measured.side)
                .map(|(_, rate)| *rate)
                .collect();
            rates.sort_by(f64::total_cmp);
            let copy = rates[rates.len() / 2];
            measured.notes.push(format!(
                "{:.0} % of `cp` with a sync, which made {copy:.0} MiB/s ({:.0} to {:.0})",
                measured.median / copy * 100.0,
                rates[0],
                rates[rates.len() - 1]
            ));
        }
        Ok(figure)
    }
}

/// The rate of `cp` with a sync, MiB/s.
fn copy(source: &Path) -> Result<f64> {
    let copy = source.with_extension("copy");
    let began = Instant::now();
    let status = Command::new("cp").arg(source).arg(&copy).status()?;
    ensure!(status.success(), "cp failed: {status}");
    File::open(&copy)?.sync_all()?;
    let rate = rate(began);
    fs::remove_file(&copy)?;
    rustix::fs::sync();
    Ok(rate)
}

fn rate(began: Instant) -> f64 {
    FILE_MIB as f64 / began.elapsed().as_secs_f64()
}

/// Compares two files, a block after the other, and removes the second.
fn same(source: &Path, back: &Path) -> Result<()> {
    let (mut left, mut right) = (BufReader::with_capacity(1 << 20, File::open(source)?), File::open(back)?);
    let mut block = vec![0_u8; 1 << 20];
    for number in 0..FILE_MIB {
        right.read_exact(&mut block)?;
        ensure!(left.fill_buf()? == block, "what came back differs in its MiB {number}");
        left.consume(block.len());
    }
    ensure!(right.read(&mut block)? == 0, "more came back than was sent");
    fs::remove_file(back)?;
    rustix::fs::sync();
    Ok(())
}

/// Where the file lies on a server: in the artifacts of a run.
struct Target {
    path: String,
}

impl Target {
    fn new(contender: &Contender) -> Result<Self> {
        let mut client = contender.client();
        let experiment = wire::experiment(&mut client, "bench-artifacts")?;
        let run = wire::create_run(&mut client, &experiment, "files", 1)?;
        let uri = wire::get_run(&mut client, &run)?["info"]["artifact_uri"].take();
        let place = uri.as_str().and_then(|uri| uri.strip_prefix("mlflow-artifacts:/"));
        let place = place.with_context(|| format!("{uri} is no place that the server keeps files at"))?;
        Ok(Self { path: format!("{ARTIFACTS_API}/artifacts/{}/file", place.trim_start_matches('/')) })
    }

    fn upload(&self, contender: &Contender, source: &Path) -> Result<f64> {
        let mut file = File::open(source)?;
        let length = file.metadata()?.len();
        let began = Instant::now();
        let mut stream = self.send(
            contender,
            "PUT",
            &format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n"),
        )?;
        pass(&mut file, &mut stream)?;
        let mut answer = BufReader::new(stream);
        head(&mut answer)?;
        Ok(rate(began))
    }

    fn download(&self, contender: &Contender, back: &Path) -> Result<f64> {
        let began = Instant::now();
        let mut answer = BufReader::with_capacity(4096, self.send(contender, "GET", "")?);
        let is_chunked = head(&mut answer)?;
        let mut file = File::create(back)?;
        if is_chunked {
            while let length @ 1.. = chunk_length(&mut answer)? {
                pass(&mut answer.by_ref().take(length), &mut file)?;
                answer.read_line(&mut String::new())?;
            }
        } else {
            // What was read together with the head; the rest goes from socket to file.
            file.write_all(answer.buffer())?;
            let rest = (FILE_MIB as u64 * MIB).saturating_sub(answer.buffer().len() as u64);
            let moved = pass(&mut answer.into_inner().take(rest), &mut file)?;
            ensure!(moved == rest, "the answer ended {} bytes early", rest - moved);
        }
        file.sync_all()?;
        Ok(rate(began))
    }

    fn remove(&self, contender: &Contender) -> Result<()> {
        expect_ok(contender.client().request("DELETE", &self.path, None, &[])?)?;
        rustix::fs::sync();
        Ok(())
    }

    /// Sends the head of a request on a connection of its own.
    fn send(&self, contender: &Contender, method: &str, headers: &str) -> Result<TcpStream> {
        let address = contender.address();
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let path = &self.path;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")?;
        Ok(stream)
    }
}

/// Passes everything on, and tells how much it was.
fn pass(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<u64> {
    let mut block = vec![0_u8; 256 << 10];
    let mut passed = 0;
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(passed);
        }
        to.write_all(&block[..read])?;
        passed += read as u64;
    }
}

/// Reads the head of an answer, which has to be 200. Answers whether the body comes in chunks.
fn head(answer: &mut BufReader<TcpStream>) -> Result<bool> {
    let mut first = String::new();
    answer.read_line(&mut first)?;
    if first.split(' ').nth(1) != Some("200") {
        bail!("the answer begins with {:?}", first.trim());
    }
    let mut is_chunked = false;
    let mut line = String::new();
    while answer.read_line(&mut line)? > 2 {
        is_chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        line.clear();
    }
    Ok(is_chunked)
}

fn chunk_length(answer: &mut BufReader<TcpStream>) -> Result<u64> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    u64::from_str_radix(line.trim(), 16).with_context(|| format!("{line:?} is no length of a chunk"))
}
