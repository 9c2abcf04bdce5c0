//! Archives made by somebody who means harm, by a broken disk, or by another program.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use expert_cli::package::{self, Package, Request};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::world::{World, fixture};

const FILE: u8 = b'0';

/// A tar under construction, block by block, so that anything can be written.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> [u8; 512] {
        let mut block = [0u8; 512];
        block[..name.len()].copy_from_slice(name);
        block[100..108].copy_from_slice(b"0000644\0");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar  \0");
        Self::sum(&mut block);
        block
    }

    fn sum(block: &mut [u8; 512]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn add(mut self, name: &str, content: &[u8]) -> Self {
        self.0.extend(Self::header(name.as_bytes(), FILE, content.len() as u64, b""));
        self.content(content)
    }

    fn special(mut self, name: &str, kind: u8, link: &str) -> Self {
        self.0.extend(Self::header(name.as_bytes(), kind, 0, link.as_bytes()));
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const MANIFEST: &str = r#"{"name": "expert-bad", "version": "1.0.0", "schema_version": "2.0",
    "base_models": [{"name": "tiny-qwen3", "adapters": [{"type": "dora", "target_modules": ["q_proj"]}]}],
    "training": {"config": {"adapter_type": "dora", "rank": 4}}}"#;

/// A package as upstream packs it: manifest and adapter under this folder, no hashes.
fn upstream(folder: &str) -> Tar {
    let adapter = fixture("golden/tiny-qwen3/dora-adapter");
    let mut tar = Tar::default().add("manifest.json", MANIFEST.as_bytes());
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
        tar = tar.add(&format!("{folder}{name}"), &fs::read(adapter.join(name)).unwrap());
    }
    tar.add(&format!("{folder}training_args.bin"), b"\x80\x04cos\nsystem\n(S'false'\ntR.")
}

/// Installs the bytes as a package and demands a refusal that says why and leaves nothing behind.
fn refused(world: &World, what: &str, package: &[u8], why: &str) {
    let path = world.work().join("bad.expert");
    fs::write(&path, package).unwrap();
    let run = world.run(&["install", "bad.expert"]);
    assert_eq!(run.code, 3, "{what}: {}", run.shown());
    assert!(run.stderr.contains(why), "{what}: expected `{why}`\n{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{what}: control characters reach the terminal");
    assert_eq!(world.installed_paths(), [""; 0], "{what} left something behind");
    assert_eq!(fs::read_dir(world.work()).unwrap().count(), 1, "{what} wrote into the current folder");
}

#[test]
fn hostile_archives_are_refused() {
    let world = World::new();
    let with = |name: &str| gzip(&upstream("").add(name, b"x").end());
    let special = |kind: u8, link: &str| gzip(&upstream("").special("README.md", kind, link).end());
    for (what, package, why) in [
        ("parent path", with("../README.md"), "`..` in the path"),
        ("inner parent path", with("a/../../README.md"), "`..` in the path"),
        ("absolute path", with("/tmp/README.md"), "an absolute path"),
        ("backslashes", with("..\\README.md"), "in the name"),
        ("drive", with("C:README.md"), "in the name"),
        ("Windows device", with("NUL.txt"), "names a device"),
        ("hidden file", with(".bashrc"), "dot"),
        ("symbolic link", special(b'2', "/etc/passwd"), "a symbolic link"),
        ("hard link", special(b'1', "manifest.json"), "a hard link"),
        ("character device", special(b'3', ""), "a character device"),
        ("block device", special(b'4', ""), "a block device"),
        ("named pipe", special(b'6', ""), "a named pipe"),
        ("contiguous file", special(b'7', ""), "unknown kind"),
        ("unknown kind", special(b'Z', ""), "unknown kind"),
        ("regular file with a link target", special(b'0', "/etc/passwd"), "link target"),
        ("duplicate", gzip(&upstream("").add("README.md", b"1").add("README.md", b"2").end()), "stands twice"),
        ("second manifest", with("manifest.json"), "stands twice"),
        ("case clash", gzip(&upstream("").add("README.md", b"1").add("readme.md", b"2").end()), "only by case"),
        (
            "folder and file",
            gzip(&upstream("").add("tests/a.md", b"1").add("tests/a.md/b.md", b"2").end()),
            "is a file",
        ),
        ("control characters", with("a\u{1b}[2J.md"), "control characters"),
        ("line break", with("a\nb.md"), "control characters"),
        ("right-to-left override", with("a\u{202e}dm.md"), "in the name"),
        ("PAX header", special(b'x', ""), "a PAX extension header"),
        ("PAX global header", special(b'g', ""), "a PAX extension header"),
        ("GNU long name", special(b'L', ""), "a GNU extension header"),
        ("GNU long link", special(b'K', ""), "a GNU extension header"),
        ("GNU sparse file", special(b'S', ""), "a GNU sparse file"),
        ("pickle .bin", with("adapter_model.bin"), "pickles"),
        ("pickle .pt", with("prompt.pt"), "pickles"),
        ("pickle .pkl", with("x.PKL"), "pickles"),
        ("program", with("install.sh"), "`.sh` is not allowed"),
        ("script", with("install.py"), "`.py` is not allowed"),
        ("no extension", with("program"), "no file of that name"),
        ("too deep", with("a/b/c/d/e.md"), "deeper"),
    ] {
        refused(&world, what, &package, why);
    }
}

#[test]
fn damaged_and_padded_archives_are_refused() {
    let world = World::new();
    let good = gzip(&upstream("").end());
    for length in [0, 5, 10, 60, good.len() / 2, good.len() - 9, good.len() - 1] {
        let why = if length < 10 { "too short" } else { "refused" };
        refused(&world, &format!("cut to {length}"), &good[..length], why);
    }
    let appended = |bytes: &[u8]| [good.as_slice(), bytes].concat();
    let plain = |tar: Vec<u8>| gzip(&tar);
    let mut wrong_sum = upstream("").end();
    wrong_sum[150] ^= 1;
    let mut padding = upstream("");
    let at = padding.0.len() - 1;
    padding.0[at] = 7;
    let mut not_utf8 = Tar::header(b"x.md", FILE, 0, b"");
    not_utf8[0] = 0xff;
    Tar::sum(&mut not_utf8);
    let mut longer = Tar::header(b"README.md", FILE, 1 << 20, b"").to_vec();
    longer.extend(b"short");
    let mut with_name = good.clone();
    with_name[3] = 8;
    for (what, package, why) in [
        ("bytes behind the end", appended(b"x"), "behind its end"),
        ("a second member", appended(&good), "behind its end"),
        ("content behind the archive", plain([upstream("").end(), vec![1; 512]].concat()), "behind the end"),
        ("endless zeros behind it", plain([upstream("").end(), vec![0; 1 << 16]].concat()), "behind the end"),
        ("bytes in the padding", plain(padding.end()), "bytes between two files"),
        ("wrong header sum", plain(wrong_sum), "checksum is wrong"),
        ("name is not UTF-8", plain(upstream("").raw(&not_utf8).end()), "not UTF-8"),
        ("size beyond the end", plain(upstream("").raw(&longer).0), "cut off"),
        ("no end mark", plain(upstream("").0), "cut off"),
        ("optional gzip fields", with_name, "optional fields"),
        ("zip", b"PK\x03\x04aaaaaaaaaaaa".to_vec(), "no gzip file"),
        ("no manifest", plain(Tar::default().add("README.md", b"x").end()), "no manifest.json"),
        ("no adapter", plain(Tar::default().add("manifest.json", MANIFEST.as_bytes()).end()), "no adapter_model"),
        ("broken manifest", plain(Tar::default().add("manifest.json", b"{").end()), "not JSON"),
        ("manifest without a name", plain(Tar::default().add("manifest.json", b"{}").end()), "name: is missing"),
        (
            "name that leaves the registry",
            plain(Tar::default().add("manifest.json", MANIFEST.replace("expert-bad", "../../x").as_bytes()).end()),
            "it names a folder",
        ),
        (
            "unsealed manifest of ours",
            plain(upstream_with(&MANIFEST.replacen('{', r#"{"package": {"files": {}}, "#, 1))),
            "its seal is missing",
        ),
        (
            "signed for another file",
            plain(upstream_with(&MANIFEST.replacen(
                '{',
                r#"{"integrity": {"files": {"adapter_config.json": "00ff"}}, "#,
                1,
            ))),
            "not the file that was signed",
        ),
    ] {
        refused(&world, what, &package, why);
    }
}

fn upstream_with(manifest: &str) -> Vec<u8> {
    let tar = upstream("").0;
    let rest = 512 + MANIFEST.len().next_multiple_of(512);
    Tar::default().add("manifest.json", manifest.as_bytes()).raw(&tar[rest..]).end()
}

#[test]
fn bombs_are_refused_before_they_are_written() {
    let world = World::new();
    let zeros = vec![0u8; 60 << 20];
    let bomb = gzip(&upstream("").add("README.md", &zeros).end());
    assert!(bomb.len() < 1 << 18);
    refused(&world, "zeros", &bomb, "a bomb");
    let mut many = upstream("");
    for index in 0..10_000 {
        many = many.add(&format!("tests/{index}.md"), b"");
    }
    refused(&world, "10,000 files", &gzip(&many.end()), "more than 1000 files");
    let large = Tar::header(b"README.md", FILE, 65 << 20, b"");
    refused(&world, "a large text", &gzip(&upstream("").raw(&large).0), "are allowed");
    let huge = Tar::header(b"x.safetensors", FILE, (1 << 33) - 1, b"");
    refused(&world, "a size that is a lie", &gzip(&upstream("").raw(&huge).0), "a bomb");
}

#[test]
fn upstreams_three_layouts_are_read_and_their_pickle_is_not() {
    for folder in ["", "weights/adapter/", "qwen3-06b/checkpoint-500/"] {
        let world = World::new();
        fs::write(world.work().join("x.expert"), gzip(&upstream(folder).end())).unwrap();
        let run = world.ok(&["install", "x.expert"]);
        assert!(run.stderr.contains("training_args.bin is a pickle: passed over, never opened"), "{}", run.stderr);
        let installed = world.home().join("experts/expert-bad/1.0.0");
        let mut names: Vec<_> = fs::read_dir(&installed).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]);
        let original = fixture("golden/tiny-qwen3/dora-adapter/adapter_model.safetensors");
        assert_eq!(fs::read(installed.join("adapter_model.safetensors")).unwrap(), fs::read(original).unwrap());
    }
}

/// A package of ours with an adapter of a few bytes.
fn small_package(world: &World) -> Vec<u8> {
    let folder = world.work().join("small");
    fs::create_dir_all(&folder).unwrap();
    let manifest = MANIFEST.replace("expert-bad", "expert-small").replace("\"rank\": 4", "\"rank\": 1");
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    let config = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "use_dora": true, "target_modules": ["q_proj"]}"#;
    fs::write(folder.join("adapter_config.json"), config).unwrap();
    crate::package::write_adapter(
        &folder,
        &[("lora_A.weight", &[1, 2]), ("lora_B.weight", &[2, 1]), ("lora_magnitude_vector", &[2])],
    );
    fs::write(folder.join("README.md"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let contents = package::gather(&Request { manifest: folder, ..Request::default() }).unwrap();
    let (path, _, _) = package::write_package(&contents, Some(&world.work().join("small.expert"))).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn every_flipped_bit_of_our_packages_is_refused() {
    let world = World::new();
    let good = small_package(&world);
    let path = world.work().join("flipped.expert");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Package::open(&path)
    };
    assert!(open(&good).unwrap().is_sealed());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            assert!(open(&bytes).is_err(), "bit {bit} of byte {at} of {} may be flipped", good.len());
        }
    }
    for length in 0..good.len() {
        assert!(open(&good[..length]).is_err(), "it may be cut to {length}");
    }
    assert!(open(&[good.as_slice(), b"\0"].concat()).is_err());
}

#[test]
fn a_flipped_bit_of_upstreams_packages_changes_no_file() {
    let world = World::new();
    let tar = upstream_small();
    let good = gzip(&tar);
    let path = world.work().join("flipped.expert");
    let entries = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Package::open(&path).map(|package| package.entries().to_vec())
    };
    let wanted = entries(&good).unwrap();
    let mut free = Vec::new();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(found) = entries(&bytes) {
                assert_eq!(found, wanted, "bit {bit} of byte {at}");
                free.push(at);
            }
        }
    }
    free.dedup();
    assert_eq!(free[..6], [4, 5, 6, 7, 8, 9], "time, level and system are free");
}

/// The layout of upstream around the adapter of a few bytes.
fn upstream_small() -> Vec<u8> {
    let world = World::new();
    small_package(&world);
    let folder = world.work().join("small");
    ["manifest.json", "adapter_model.safetensors", "adapter_config.json"]
        .iter()
        .fold(Tar::default(), |tar, name| tar.add(name, &fs::read(folder.join(name)).unwrap()))
        .end()
}

#[test]
fn flipped_packages_leave_nothing_behind() {
    let world = World::new();
    let good = small_package(&world);
    let before = files(&world.work());
    for step in 0..8 {
        let at = step * good.len() / 8;
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        fs::write(world.work().join("small.expert"), bytes).unwrap();
        let run = world.run(&["install", "small.expert"]);
        assert_eq!(run.code, 3, "byte {at}: {}", run.shown());
        assert_eq!(world.installed_paths(), [""; 0], "byte {at}");
    }
    assert_eq!(files(&world.work()), before);
    fs::write(world.work().join("small.expert"), good).unwrap();
    world.ok(&["install", "small.expert"]);
}

fn files(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    names
}
