//! Wraps packed installers into the document that cloud-init runs.
//!
//! A script in pure ASCII with each installer as one line of base64, because cloud-init on Python 3 decodes a
//! script as UTF-8 and silently drops one that is not. It unpacks into a file, since `/run` may be mounted noexec
//! and the installer reads its request from its own file, and moves it into place, so that a run that goes on
//! keeps its file. The script's exit status is the installer's.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pitcrew_plan::distribution::Arch;
use pitcrew_plan::journal::STATE_DIRECTORY;

use crate::appended::{Appended, Kind};
use crate::arch_name;
use crate::pack::{Form, Packed};

/// The document, before it is compressed: a script, or where the operator's own part is none, MIME.
pub(crate) fn document(installers: &[(Arch, Packed)], appended: Option<&Appended>) -> String {
    match appended {
        None => script(installers, None),
        Some(own) if own.kind == Kind::Script => script(installers, Some(&own.text)),
        Some(own) => {
            multipart(&[("text/x-shellscript", &script(installers, None)), (own.kind.content_type(), &own.text)])
        }
    }
}

/// The document as MIME, whatever the operator's own part is; for tools that merge such documents.
pub(crate) fn mime(installers: &[(Arch, Packed)], appended: Option<&Appended>) -> String {
    let script = script(installers, None);
    let mut parts = vec![("text/x-shellscript", script.as_str())];
    parts.extend(appended.map(|own| (own.kind.content_type(), own.text.as_str())));
    multipart(&parts)
}

fn script(installers: &[(Arch, Packed)], own: Option<&str>) -> String {
    let mut script = format!("#!/bin/sh\n# Pitcrew's bootstrap\nd={STATE_DIRECTORY}\nf=$d/installer\nmkdir -p $d\n");
    match installers {
        [(_, packed)] => {
            let unpack = unpack(packed.form);
            let _ = writeln!(script, "base64 -d <<E | {unpack} {INSTALL}\n{}\nE", STANDARD.encode(&packed.bytes));
        }
        several => {
            script.push_str("case $(uname -m) in\n");
            for (arch, packed) in several {
                let (unpack, line) = (unpack(packed.form), STANDARD.encode(&packed.bytes));
                let _ = writeln!(script, "{}) base64 -d <<E | {unpack};;\n{line}\nE", arch_name(*arch));
            }
            let _ = writeln!(script, "esac {INSTALL}");
        }
    }
    if let Some(own) = own {
        append(&mut script, own);
    }
    script
}

const INSTALL: &str = ">$f.$$ && chmod 700 $f.$$ && mv -f $f.$$ $f && $f";

/// A command that unpacks its input; cloud-init needs Python, so Python stands in where xz is not installed.
fn unpack(form: Form) -> &'static str {
    match form {
        Form::XzX86 | Form::Lzma => {
            "(xz -dc || python3 -c 'import lzma;open(1,\"wb\").write(lzma.open(open(0,\"rb\")).read())')"
        }
        Form::Gzip => "gzip -dc",
    }
}

/// Runs the operator's script after the installer, however that ended; the first of both to fail is the status.
fn append(script: &mut String, own: &str) {
    script.push_str("s=$?\n");
    if own.is_ascii() {
        let mut end = "END".to_owned();
        while own.lines().any(|line| line == end) {
            end.push('_');
        }
        let _ = write!(script, "cat >$d/appended <<'{end}'\n{own}{end}\n");
    } else {
        let _ = writeln!(script, "base64 -d >$d/appended <<E\n{}\nE", STANDARD.encode(own));
    }
    script.push_str("chmod 700 $d/appended\nPITCREW_BOOTSTRAP_STATUS=$s $d/appended && exit $s\n");
}

fn multipart(parts: &[(&str, &str)]) -> String {
    let mut boundary = "==pitcrew".to_owned();
    while parts.iter().any(|(_, text)| text.contains(&boundary)) {
        boundary.push('=');
    }
    let mut document = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n");
    for (content_type, text) in parts {
        let (encoding, text) = match text.is_ascii() {
            true => ("7bit", (*text).to_owned()),
            false => ("base64", STANDARD.encode(text) + "\n"),
        };
        let _ = write!(
            document,
            "--{boundary}\nContent-Type: {content_type}\nContent-Transfer-Encoding: {encoding}\n\n{text}"
        );
    }
    let _ = writeln!(document, "--{boundary}--");
    document
}

/// A rule of cloud-init that a document breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleBroken {
    /// A byte beyond ASCII.
    #[error("the document is not pure ASCII")]
    NotAscii,
    /// It begins with neither a script nor MIME.
    #[error("the document begins with neither #! nor MIME-Version")]
    UnknownStart,
    /// A script would be taken for MIME.
    #[error(
        "the script has `mime-version:` in its first 4096 bytes, so cloud-init would take it for MIME; reword the appended file"
    )]
    LooksLikeMime,
    /// An installer's base64 is broken into lines.
    #[error("base64 is broken into several lines")]
    WrappedBase64,
}

/// Checks what all versions of cloud-init since 18 need of a document with `installers` many installers.
pub(crate) fn check(document: &str, installers: &[(Arch, Packed)]) -> Result<(), RuleBroken> {
    if !document.is_ascii() {
        return Err(RuleBroken::NotAscii);
    }
    let is_mime = document.starts_with("MIME-Version: 1.0\n");
    if !is_mime && !document.starts_with("#!") {
        return Err(RuleBroken::UnknownStart);
    }
    let start = document.get(..4096).unwrap_or(document).to_ascii_lowercase();
    if !is_mime && start.contains("mime-version:") {
        return Err(RuleBroken::LooksLikeMime);
    }
    let whole_lines = installers.iter().all(|(_, packed)| {
        let encoded = STANDARD.encode(&packed.bytes);
        document.lines().any(|line| line == encoded)
    });
    if whole_lines { Ok(()) } else { Err(RuleBroken::WrappedBase64) }
}

#[cfg(test)]
mod tests;
