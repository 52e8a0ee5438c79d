//! How the binary is linked.
//!
//! Its relocations are packed (`DT_RELR`): a table of 8 MB, which the loader reads once and which then stays resident, becomes one of
//! 90 kB. A loader knows the form from glibc 2.36 on, so the binary is linked so only where the machine that builds it has such a glibc, and
//! runs on none that is older. Who builds for others sets `STRONGBACK_PACKED_RELOCATIONS=0`.

use std::{env, process::Command};

/// The first glibc that knows packed relocations.
const GLIBC_MIN: (u32, u32) = (2, 36);

const SWITCH: &str = "STRONGBACK_PACKED_RELOCATIONS";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={SWITCH}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|said| said == value);
    let own = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    let form = is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    if own && form && !is(SWITCH, "0") && glibc().is_some_and(|version| version >= GLIBC_MIN) {
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
