//! Failpoints (`fsx::failpoint`) are in builds of the `dev` and `test` profiles, which tests kill on purpose, and not in
//! releases. They do not hang on debug assertions: the `dev` profile goes without, for the checks that those add to the
//! standard library's iterators and pointers made decoding of quantised weights a fifth slower.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(failpoints)");
    if std::env::var("PROFILE").as_deref() == Ok("debug") {
        println!("cargo::rustc-cfg=failpoints");
    }
}
