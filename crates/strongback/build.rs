//! How the binary is linked.
//!
//! Its relocations are packed (`DT_RELR`): a table of 8 MB, which the loader reads once and which then stays resident, becomes one of
//! 90 kB. A loader knows the form from glibc 2.36 on, so an older one is given the long form. Whoever builds against a newer glibc than
//! the one of the machine that runs the binary is refused there with or without this.

use std::{env, process::Command};

/// The first glibc that knows packed relocations.
const GLIBC_MIN: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let here = env::var("HOST").is_ok_and(|host| env::var("TARGET").is_ok_and(|target| host == target));
    if here && glibc().is_some_and(|version| version >= GLIBC_MIN) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc; `None` where its C library is another one.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, rest) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
