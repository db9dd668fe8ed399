use std::io::Write as _;

use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{LzmaOptions, LzmaWriter, XzOptions, XzWriter};

use super::*;

fn encoded(bytes: &[u8]) -> UserData {
    decode(&BASE64_STANDARD.encode(bytes), Shape::Api)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_script_is_read_plain_compressed_and_within_mime() {
    let script = "#!/bin/sh\necho one\n";
    let mime = format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"==b\"\n\n--==b\nContent-Type: text/cloud-config\n\n\
         #cloud-config\nruncmd: [ls]\n--==b\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\n{}\n--==b--\n",
        BASE64_STANDARD.encode(script)
    );
    for bytes in [script.as_bytes().to_vec(), gzip(script.as_bytes())] {
        let data = encoded(&bytes);
        assert_eq!((data.bytes, data.parts[0].text.as_str(), data.flaws.len()), (bytes.len(), script, 0));
    }
    for bytes in [mime.as_bytes().to_vec(), gzip(mime.as_bytes())] {
        let data = encoded(&bytes);
        assert_eq!(data.flaws, []);
        assert_eq!((data.parts[0].kind, data.parts[1].kind), (PartKind::CloudConfig, PartKind::Script));
        assert_eq!((data.parts[1].name.as_str(), data.parts[1].text.as_str()), ("part 2 of the user data", script));
    }
}

#[test]
fn what_cloud_init_trips_over_is_named() {
    let kinds = |bytes: &[u8]| -> Vec<_> { encoded(bytes).flaws.iter().map(|flaw| flaw.kind).collect() };
    assert_eq!(kinds(b"echo hello\n"), [FlawKind::UnknownStart]);
    assert_eq!(kinds(b"#!/bin/sh\n\xff\n"), [FlawKind::NotText]);
    assert_eq!(kinds(b"#!/bin/sh\r\nls\r\n"), [FlawKind::WindowsLines]);
    assert_eq!(kinds(b"#cloud-config\na: {\n"), [FlawKind::CloudConfig]);
    assert_eq!(kinds(&gzip(b"#!/bin/sh\n")[..12]), [FlawKind::Encoding]);
    assert_eq!(decode("not base64!", Shape::Api).flaws[0].kind, FlawKind::Encoding);
    assert_eq!(decode("#!/bin/sh\nls\n", Shape::Terraform).flaws, []);
}

#[test]
fn our_own_installer_says_what_it_is_asked() {
    let request = "pitcrew-bootstrap 1\ndeadline 1200\ncodedeploy 2\ntag pitcrew%3Aready true\n";
    let elf = [b"\x7fELF pitcrew-bootstrap 1\0 code ".repeat(20).as_slice(), request.as_bytes()].concat();
    let noise: Vec<u8> = (0..400u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let file = [noise, elf].concat();
    let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(6)).unwrap();
    xz.write_all(&file).unwrap();
    let mut lzma =
        LzmaWriter::new_use_header(Vec::new(), &LzmaOptions::with_preset(6), Some(file.len() as u64)).unwrap();
    lzma.write_all(&file).unwrap();
    for packed in [gzip(&file), xz.finish().unwrap(), lzma.finish().unwrap()] {
        let script = format!("#!/bin/sh\nbase64 -d <<E | xz -dc >$f\n{}\nE\n", BASE64_STANDARD.encode(packed));
        let bootstrap = encoded(&gzip(script.as_bytes())).bootstrap.unwrap();
        assert_eq!((bootstrap.deadline_s, bootstrap.has_codedeploy), (1200, true));
        assert_eq!(bootstrap.tags, [("pitcrew:ready".to_owned(), "true".to_owned())]);
    }
}
