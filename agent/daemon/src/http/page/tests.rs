use std::collections::BTreeMap;

use super::*;

/// The colours of a palette by name, as red, green and blue from 0 to 1.
fn palette(css: &str) -> BTreeMap<&str, [f64; 3]> {
    let colours = css.split([';', '{', '}']).filter_map(|entry| entry.trim().strip_prefix("--")?.split_once(":#"));
    let channel = |hex: &str| f64::from(u8::from_str_radix(hex, 16).unwrap()) / 255.0;
    let rgb = |hex: &str| match hex.len() {
        3 => [0, 1, 2].map(|at| channel(&hex[at..=at].repeat(2))),
        _ => [0, 2, 4].map(|at| channel(&hex[at..at + 2])),
    };
    colours.map(|(name, hex)| (name, rgb(hex))).collect()
}

/// As WCAG 2 has it.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_can_be_read_by_day_and_by_night() {
    let (light, dark) = STYLE.split_once("@media(prefers-color-scheme:dark)").unwrap();
    for (name, css) in [("light", light), ("dark", dark)] {
        let palette = palette(css);
        for ink in ["ink", "soft", "good", "busy", "bad", "calm"] {
            let contrast = contrast(palette[ink], palette["paper"]);
            assert!(contrast >= 4.5, "{name} {ink}: {contrast:.1}");
        }
    }
}

#[test]
fn what_others_write_stays_text() {
    let record = Record {
        at: WallTime(0),
        what: What::ProbeFailed { probe: "app".into(), reason: "<script>alert('1')</script> & \"more\"".into() },
    };
    let page = screen("i-0abc", None, &[record], &["<b>".into()]);
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;more&quot;"), "{page}");
    assert!(page.contains("<pre>&lt;b&gt;</pre>"), "{page}");
    assert_eq!(page.matches("<script>").count(), 1, "its own");
}

#[test]
fn the_page_is_small() {
    assert!(screen("i-0abc", None, &[], &[]).len() < 8 * 1024);
}
