//! Transfers over TLS, carried out by whichever of curl, wget and python3 a machine has.
//!
//! The whole configuration, secrets included, goes over the child's standard input; its arguments
//! hold nothing but the URL that wget wants there. Each is asked to print the reply's headers, so
//! that all three answer in the same way.

use crate::{
    http,
    journal::Failure,
    retry::{self, Trial},
    text::{Text, after, lines},
};

/// A program that speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// curl
    Curl,
    /// GNU Wget
    Wget,
    /// Python 3, whose standard library suffices
    Python,
}

/// One transfer: a GET, or a POST where there is a form.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// Where to.
    pub url: &'a [u8],
    /// File for the reply's body.
    pub output: &'a [u8],
    /// File with certificate authorities, or empty for the system's.
    pub ca: &'a [u8],
    /// Headers, one `Name: value` a line.
    pub headers: &'a [u8],
    /// Form to post, or empty.
    pub form: &'a [u8],
}

/// Understands the configuration that curl is given.
const PYTHON: &[u8] = b"python3\0-c\0import sys,ssl,urllib.request as u
c={};h={}
for l in sys.stdin:
 k,_,v=l.strip().partition(' = ');v=v.strip('\"')
 if k=='header':h.update([v.split(': ',1)])
 else:c[k]=v
s=ssl.create_default_context(cafile=c.get('cacert'))
try:r=u.urlopen(u.Request(c['url'],c.get('data','').encode()or None,h),context=s,timeout=20)
except u.HTTPError as e:r=e
print('HTTP/1',r.getcode());print(r.headers)
open(c['output'],'wb').write(r.read())\0";

impl Tool {
    /// All of them, the one to try first in front.
    pub const ALL: [Self; 3] = [Self::Curl, Self::Wget, Self::Python];

    /// The command, each argument ending in NUL; [`Tool::last_argument`] is added to it.
    pub fn command(self) -> &'static [u8] {
        match self {
            Self::Curl => b"curl\0-qK\0",
            Self::Wget => b"wget\0--config=/dev/stdin\0--\0",
            Self::Python => PYTHON,
        }
    }

    /// Standard input for curl, the URL for wget; Python passes it over.
    pub fn last_argument<'a>(self, transfer: &Transfer<'a>) -> &'a [u8] {
        match self {
            Self::Curl | Self::Python => b"-",
            Self::Wget => transfer.url,
        }
    }

    /// Writes what the program reads on its standard input.
    pub fn configure(self, transfer: &Transfer<'_>, out: &mut Text<'_>) {
        let (fixed, keys, quote): (&[u8], [&[u8]; 5], &[u8]) = match self {
            Self::Curl | Self::Python => (
                b"silent\nshow-error\nlocation\ndump-header = \"-\"\nconnect-timeout = 20\nspeed-limit = 1\nspeed-time = 20\n",
                [b"url", b"output", b"cacert", b"data", b"header"],
                b"\"",
            ),
            Self::Wget => (
                b"verbose = off\nserver_response = on\ncontent_on_error = on\ntries = 1\ntimeout = 20\n",
                [b"", b"output_document", b"ca_certificate", b"post_data", b"header"],
                b"",
            ),
        };
        out.put(fixed);
        let mut entry = |key: &[u8], value: &[u8]| {
            if !key.is_empty() && !value.is_empty() {
                out.put(key).put(b" = ").put(quote).put(value).put(quote).put(b"\n");
            }
        };
        let [url, output, ca, form, header] = keys;
        entry(url, transfer.url);
        entry(output, transfer.output);
        entry(ca, transfer.ca);
        entry(form, transfer.form);
        for line in lines(transfer.headers) {
            entry(header, line);
        }
    }
}

/// What the program's exit status and its output say about a transfer.
pub fn outcome(exit: u32, output: &[u8]) -> Trial<()> {
    let status = http::head(output).status;
    let says = |needle: &[u8]| after(output, needle).is_some();
    if says(b"curl: (23)") || says(b"space left") {
        return Trial::Never(Failure::Disk);
    }
    match (status, exit) {
        (200..=299, 0) => Trial::Ended(()),
        (0 | 200..=299, _) if says(b"resol") || says(b"not known") => Trial::Again(Failure::Dns),
        (0 | 200..=299, _) => Trial::Again(Failure::Download),
        _ => retry::download(status),
    }
}

/// The line of a program's output that tells best why it failed: an error of curl's, which goes on
/// to explain itself, or a status other than success, else the last one that is not empty.
pub fn cause(output: &[u8]) -> &[u8] {
    let mut cause: &[u8] = b"";
    let mut is_found = false;
    for line in lines(output) {
        let line = line.trim_ascii();
        let is_telling = line.starts_with(b"curl: (") || line.starts_with(b"HTTP/") && after(line, b" 200").is_none();
        if is_telling || !is_found && !line.is_empty() {
            cause = line;
            is_found |= is_telling;
        }
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec::Vec};

    fn configured(tool: Tool) -> String {
        let mut room = [0; 1000];
        let mut out = Text::new(&mut room);
        let transfer = Transfer {
            url: b"https://ec2/",
            output: b"/answer",
            ca: b"",
            headers: b"X-Amz-Date: d\nAuthorization: A B=c, D=e\n",
            form: b"Action=CreateTags",
        };
        tool.configure(&transfer, &mut out);
        String::from_utf8(out.bytes().into()).unwrap()
    }

    #[test]
    fn curl_is_told_everything_on_its_standard_input() {
        let text = configured(Tool::Curl);
        for line in ["url = \"https://ec2/\"", "data = \"Action=CreateTags\"", "header = \"Authorization: A B=c, D=e\""]
        {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("cacert"));
        assert_eq!(configured(Tool::Python), text);
    }

    #[test]
    fn wget_has_keys_of_its_own_and_no_quotes() {
        let text = configured(Tool::Wget);
        for line in ["output_document = /answer", "post_data = Action=CreateTags", "header = X-Amz-Date: d"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("https://ec2/") && !text.contains('"'));
    }

    #[test]
    fn each_way_to_fail_has_its_name() {
        let table: [(u32, &[u8], Trial<()>); 12] = [
            (0, b"HTTP/2 200 \r\n\r\n", Trial::Ended(())),
            (18, b"HTTP/1.1 200 OK\r\n\r\ncurl: (18) transfer closed", Trial::Again(Failure::Download)),
            (0, b"HTTP/1.1 503 Slow Down\r\n\r\n", Trial::Again(Failure::Download)),
            (8, b"  HTTP/1.1 404 Not Found\n", Trial::Never(Failure::Missing)),
            (0, b"HTTP/1 403\n", Trial::Never(Failure::Refused)),
            (6, b"curl: (6) Could not resolve host: s3", Trial::Again(Failure::Dns)),
            (4, b"wget: unable to resolve host address 's3'", Trial::Again(Failure::Dns)),
            (1, b"socket.gaierror: [Errno -2] Name or service not known", Trial::Again(Failure::Dns)),
            (23, b"HTTP/1.1 200 OK\r\n\r\ncurl: (23) Failure writing output", Trial::Never(Failure::Disk)),
            (3, b"  HTTP/1.1 200 OK\nCannot write to 'x' (No space left on device).", Trial::Never(Failure::Disk)),
            (7, b"curl: (7) Failed to connect", Trial::Again(Failure::Download)),
            (137, b"", Trial::Again(Failure::Download)),
        ];
        for (exit, output, expected) in table {
            assert_eq!(outcome(exit, output), expected, "{}", String::from_utf8_lossy(output));
        }
    }

    #[test]
    fn the_line_that_tells_is_found_among_the_others() {
        for (output, expected) in [
            (
                "curl: (60) SSL certificate problem\nMore details here\n\nlearn more\n",
                "curl: (60) SSL certificate problem",
            ),
            ("HTTP/1.1 503 Slow Down\r\nDate: x\r\n\r\n", "HTTP/1.1 503 Slow Down"),
            ("  HTTP/1.1 404 Not Found\n  Connection: close\n", "HTTP/1.1 404 Not Found"),
            ("HTTP/1.1 200 OK\nContent-Length: 3\n\ncurl: (18) transfer closed", "curl: (18) transfer closed"),
            ("Reading package lists...\nE: Unable to locate package\n\n", "E: Unable to locate package"),
            ("", ""),
        ] {
            assert_eq!(cause(output.as_bytes()), expected.as_bytes(), "{output:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_output_has_an_outcome(exit: u32, output: Vec<u8>) {
            let _ = (outcome(exit, &output), cause(&output));
        }
    }
}
