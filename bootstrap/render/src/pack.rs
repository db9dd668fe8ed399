//! Compresses bytes as small as the instance's own tools can unpack.

use std::io::{self, Write};
use std::num::NonZeroU64;

use lzma_rust2::{CheckType, FilterType, LzmaOptions, LzmaWriter, XzOptions, XzWriter};

/// A form that every distribution's own tools unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `.xz`, its code filtered for x86. The filter for arm64 needs xz 5.4, which Amazon Linux has not.
    XzX86,
    /// `.lzma`: forty bytes less of headers than `.xz`, but no filter.
    Lzma,
    /// `.gz`.
    Gzip,
}

/// Bytes in their smallest form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The form.
    pub form: Form,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Packs `input` in each form and keeps the smallest; equal ones go to the first form.
///
/// # Errors
/// What a compressor says; writing to memory, none is expected.
pub fn smallest(input: &[u8]) -> io::Result<Packed> {
    let mut smallest = pack_as(Form::XzX86, input)?;
    for form in [Form::Lzma, Form::Gzip] {
        let other = pack_as(form, input)?;
        if other.bytes.len() < smallest.bytes.len() {
            smallest = other;
        }
    }
    Ok(smallest)
}

/// Packs `input` in this form.
///
/// # Errors
/// As [`smallest`].
pub fn pack_as(form: Form, input: &[u8]) -> io::Result<Packed> {
    let bytes = match form {
        Form::XzX86 => best_model(|model| xz_x86(input, model)),
        Form::Lzma => best_model(|model| lzma(input, model)),
        Form::Gzip => gzip(input),
    }?;
    Ok(Packed { form, bytes })
}

/// Packs `input` as gzip, without a file name or a time, as small as Zopfli can.
///
/// # Errors
/// As [`smallest`].
pub fn gzip(input: &[u8]) -> io::Result<Vec<u8>> {
    let rounds = NonZeroU64::new(30).unwrap_or(NonZeroU64::MIN);
    let options = zopfli::Options { iteration_count: rounds, ..zopfli::Options::default() };
    let mut out = Vec::new();
    zopfli::compress(options, zopfli::Format::Gzip, input, &mut out)?;
    Ok(out)
}

/// How LZMA predicts the next bit: by bits of the previous byte, of the position, for literals and for matches; and
/// how long a match has to be to be taken without looking further.
#[derive(Debug, Clone, Copy)]
struct Model {
    literal_context: u32,
    literal_position: u32,
    position: u32,
    nice_length: u32,
}

/// In so little code a shorter match that is at hand often packs better than the longest one.
const NICE_LENGTHS: [u32; 3] = [20, 24, 48];

/// Tries every model that can pay on machine code and keeps the smallest result.
fn best_model(pack: impl Fn(Model) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut best: Option<Vec<u8>> = None;
    for literal_position in 0..=2 {
        for literal_context in 0..=(4 - literal_position) {
            for position in 0..=2 {
                for nice_length in NICE_LENGTHS {
                    let packed = pack(Model { literal_context, literal_position, position, nice_length })?;
                    if best.as_ref().is_none_or(|best| packed.len() < best.len()) {
                        best = Some(packed);
                    }
                }
            }
        }
    }
    best.ok_or_else(|| io::Error::other("no model to pack with"))
}

fn lzma_options(input: &[u8], model: Model) -> LzmaOptions {
    const STRONGEST: u32 = 9;
    let mut options = LzmaOptions::with_preset(STRONGEST);
    options.lc = model.literal_context;
    options.lp = model.literal_position;
    options.pb = model.position;
    options.nice_len = model.nice_length;
    options.depth_limit = 1000;
    options.dict_size = u32::try_from(input.len()).unwrap_or(u32::MAX / 2).next_power_of_two().max(4096);
    options
}

fn xz_x86(input: &[u8], model: Model) -> io::Result<Vec<u8>> {
    let mut options = XzOptions::with_preset(0);
    options.lzma_options = lzma_options(input, model);
    // The gzip around it all carries a checksum already.
    options.set_check_sum_type(CheckType::None);
    options.prepend_pre_filter(FilterType::BcjX86, 0);
    let mut writer = XzWriter::new(Vec::new(), options)?;
    writer.write_all(input)?;
    writer.finish()
}

fn lzma(input: &[u8], model: Model) -> io::Result<Vec<u8>> {
    let size = u64::try_from(input.len()).ok();
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &lzma_options(input, model), size)?;
    writer.write_all(input)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use lzma_rust2::{LzmaReader, XzReader};

    use super::*;

    fn sample() -> Vec<u8> {
        (0u32..6000).flat_map(|n| [(n % 251) as u8, (n / 7) as u8, ((n * n) >> 5) as u8]).collect()
    }

    #[test]
    fn every_form_unpacks_to_what_went_in() {
        let model = Model { literal_context: 0, literal_position: 2, position: 2, nice_length: 24 };
        let input = sample();
        let mut out = Vec::new();
        XzReader::new(&xz_x86(&input, model).unwrap()[..], false).read_to_end(&mut out).unwrap();
        assert_eq!(out, input);
        out.clear();
        LzmaReader::new_mem_limit(&lzma(&input, model).unwrap()[..], 1 << 16, None)
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
        assert_eq!(out, input);
    }

    #[test]
    fn the_smallest_form_wins_and_is_the_same_each_time() {
        let input = sample();
        let first = smallest(&input).unwrap();
        assert!(first.bytes.len() <= gzip(&input).unwrap().len());
        assert_eq!(smallest(&input).unwrap(), first);
    }

    #[test]
    fn gzip_carries_no_time_and_no_name() {
        let packed = gzip(b"the same bytes each time").unwrap();
        assert_eq!(packed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }
}
