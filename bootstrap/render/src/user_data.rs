//! The blob: how it is put together, what in it takes how many bytes, and whether it fits.

use std::fmt;

use pitcrew_plan::distribution::Arch;

use crate::appended::Appended;
use crate::arch_name;
use crate::elf::Installer;
use crate::envelope::{self, RuleBroken};
use crate::pack::{self, Packed};

/// What EC2 takes as user data, in bytes before base64.
pub const LIMIT: usize = 16_384;

/// Everything that goes into the blob.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// One installer for each architecture.
    pub installers: &'a [Installer],
    /// The request's text.
    pub request: &'a [u8],
    /// The operator's own part.
    pub appended: Option<&'a Appended>,
}

/// User data that EC2 takes and cloud-init runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// The bytes, gzip.
    pub bytes: Vec<u8>,
    /// The same as a MIME document in plain text, for tools that compress by themselves.
    pub mime: String,
}

/// Why there is no blob.
#[derive(Debug, thiserror::Error)]
pub enum UserDataError {
    /// It is larger than EC2 takes.
    #[error("the user data is {} bytes too large for EC2:\n{sizes}", sizes.total() - LIMIT)]
    TooLarge {
        /// What takes how many bytes.
        sizes: Sizes,
    },
    /// cloud-init would not run it.
    #[error(transparent)]
    Rule(#[from] RuleBroken),
    /// A compressor failed.
    #[error("compressing")]
    Compress(#[from] std::io::Error),
}

/// What takes how many bytes of the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Name, bytes before compression, and bytes that it adds to the blob; they sum up to the blob.
    pub parts: Vec<(String, usize, usize)>,
}

/// Puts the blob together. The same contents make the same bytes.
///
/// # Errors
/// [`UserDataError`], with the sizes of all parts when it is too large.
pub fn build(contents: Contents<'_>) -> Result<UserData, UserDataError> {
    let (document, installers) = assemble(contents)?;
    envelope::check(&document, &installers)?;
    let bytes = pack::gzip(document.as_bytes())?;
    if bytes.len() > LIMIT {
        return Err(UserDataError::TooLarge { sizes: sizes(contents)? });
    }
    Ok(UserData { bytes, mime: envelope::mime(&installers, contents.appended) })
}

/// Weighs each part by what the blob would be without it and all that follow it.
///
/// # Errors
/// [`UserDataError::Compress`].
pub fn sizes(contents: Contents<'_>) -> Result<Sizes, UserDataError> {
    let Contents { installers, request, appended } = contents;
    let weigh = |contents| -> Result<(usize, usize), UserDataError> {
        let (document, _) = assemble(contents)?;
        Ok((document.len(), pack::gzip(document.as_bytes())?.len()))
    };
    let bare = Contents { installers: &[], request: &[], appended: None };
    let (script, mut so_far) = weigh(bare)?;
    let mut parts = vec![("unpacking script".to_owned(), script, so_far)];
    let mut add = |name: String, raw: usize, total: usize| {
        parts.push((name, raw, total.saturating_sub(so_far)));
        so_far = so_far.max(total);
    };
    for (count, installer) in (1..).zip(installers) {
        let (_, total) = weigh(Contents { installers: installers.get(..count).unwrap_or(installers), ..bare })?;
        add(format!("installer for {}", arch_name(installer.arch)), installer.bytes.len(), total);
    }
    let (_, total) = weigh(Contents { appended: None, ..contents })?;
    add("request".to_owned(), request.len(), total);
    if let Some(own) = appended {
        let (_, total) = weigh(contents)?;
        add("appended file".to_owned(), own.text.len(), total);
    }
    Ok(Sizes { parts })
}

fn assemble(contents: Contents<'_>) -> Result<(String, Vec<(Arch, Packed)>), UserDataError> {
    let installers = contents
        .installers
        .iter()
        .map(|installer| {
            // The installer finds its request right behind its own last segment.
            let packed = pack::smallest(&[&installer.bytes, contents.request].concat())?;
            Ok((installer.arch, packed))
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok((envelope::document(&installers, contents.appended), installers))
}

impl Sizes {
    /// Bytes of the blob.
    #[must_use]
    pub fn total(&self) -> usize {
        self.parts.iter().map(|(_, _, packed)| packed).sum()
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>10}{:>12}", "part", "bytes", "in the blob")?;
        for (name, raw, packed) in &self.parts {
            writeln!(f, "{name:<24}{raw:>10}{packed:>12}")?;
        }
        writeln!(f, "{:<24}{:>10}{:>12}", "user data", "", self.total())?;
        match LIMIT.checked_sub(self.total()) {
            Some(left) => writeln!(f, "{:<24}{:>10}{left:>12}", "left of 16384", ""),
            None => writeln!(f, "{:<24}{:>10}{:>12}", "over 16384 by", "", self.total() - LIMIT),
        }
    }
}

#[cfg(test)]
mod tests;
