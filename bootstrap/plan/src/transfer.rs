//! Transfers over TLS, carried out by whichever of curl, wget and python3 a machine has.
//!
//! The whole configuration, secrets included, goes over the child's standard input; its arguments
//! hold nothing but the URL, which wget wants there. Each is asked to print the reply's headers, so
//! that all three answer in the same way, and gives up on a server that is silent for 20 seconds.

use crate::{
    http,
    journal::Failure,
    retry::{self, Trial},
    text::{Text, after, cut, trimmed},
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

/// One transfer.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// What the templates name `$1` to `$7`: URL, file for the reply's body (`-` for the output),
    /// file with certificate authorities, and of a POST the form, date, token and authorization.
    values: [&'a [u8]; 7],
}

impl<'a> Transfer<'a> {
    /// A download of `url` to the file `output`, trusting the authorities in the file `ca`, or the
    /// system's when it is empty.
    pub fn get(url: &'a [u8], output: &'a [u8], ca: &'a [u8]) -> Self {
        Self::post(url, output, ca, b"", [b"", b"", b""])
    }

    /// A call that posts `form`, with the values of the headers `X-Amz-Date`,
    /// `X-Amz-Security-Token` and `Authorization`.
    pub fn post(url: &'a [u8], output: &'a [u8], ca: &'a [u8], form: &'a [u8], signature: [&'a [u8]; 3]) -> Self {
        let [date, token, authorization] = signature;
        Self { values: [url, output, ca, form, date, token, authorization] }
    }
}

impl<'a> Transfer<'a> {
    /// Where to.
    pub fn url(&self) -> &'a [u8] {
        let [url, ..] = self.values;
        url
    }
}

/// Reads URL, output, authorities and form, and where there is a form the headers, a line each.
const PYTHON: &[u8] = b"python3 -c 'import sys,ssl,urllib.request as q
u,o,a,f,*h=sys.stdin.read().split(\"\\n\")
try:r=q.urlopen(q.Request(u,f.encode()or None,dict(l.split(\": \")for l in h if f)),timeout=20,context=ssl.create_default_context(cafile=a or None))
except q.HTTPError as e:r=e
print(\"HTTP/1.1\",r.code,r.headers)
(open(o,\"wb\")if o!=\"-\"else sys.stdout.buffer).write(r.read())'";

impl Tool {
    /// All of them, the one to try first in front.
    pub const ALL: [Self; 3] = [Self::Curl, Self::Wget, Self::Python];

    /// The shell's line that runs it; `$0` is the URL, which wget wants there.
    pub fn command(self) -> &'static [u8] {
        match self {
            Self::Curl => b"curl -qsSLD- --connect-timeout 20 -Y1 -y20 -K-",
            Self::Wget => b"wget -nv -St1 -T20 --content-on-error --config=/dev/stdin \"$0\"",
            Self::Python => PYTHON,
        }
    }

    /// Writes what the program reads on its standard input.
    pub fn configure(self, transfer: &Transfer<'_>, out: &mut Text<'_>) {
        let templates = match self {
            Self::Curl => &CURL,
            Self::Wget => &WGET,
            Self::Python => &LINES,
        };
        let values = &transfer.values;
        let [_, _, ca, form, ..] = values;
        out.fill(templates.always, values);
        if !ca.is_empty() {
            out.fill(templates.with_ca, values);
        }
        if !form.is_empty() {
            out.fill(templates.with_form, values);
        }
    }
}

/// How a program wants its configuration.
struct Templates {
    always: &'static [u8],
    with_ca: &'static [u8],
    with_form: &'static [u8],
}

static CURL: Templates = Templates {
    always: b"url = \"$1\"\noutput = \"$2\"\n",
    with_ca: b"cacert = \"$3\"\n",
    with_form: b"data = \"$4\"\nheader = \"X-Amz-Date: $5\"\nheader = \"X-Amz-Security-Token: $6\"\n\
                 header = \"Authorization: $7\"\n",
};

static WGET: Templates = Templates {
    always: b"output_document = $2\n",
    with_ca: b"ca_certificate = $3\n",
    with_form: b"post_data = $4\nheader = X-Amz-Date: $5\nheader = X-Amz-Security-Token: $6\n\
                 header = Authorization: $7\n",
};

static LINES: Templates = Templates {
    always: b"$1\n$2\n$3\n$4\nX-Amz-Date: $5\nX-Amz-Security-Token: $6\nAuthorization: $7",
    with_ca: b"",
    with_form: b"",
};

/// What the program's exit status and its output say about a transfer.
pub fn outcome(exit: u32, output: &[u8]) -> Trial<()> {
    let status = http::head(output).status;
    let says = |needle: &[u8]| after(output, needle).is_some();
    if says(b"curl: (23)") || says(b"space left") {
        return Trial::Never(Failure::Disk);
    }
    let is_broken_off = status == 0 || status < 300 && exit != 0;
    if !is_broken_off {
        return retry::download(status);
    }
    let is_unresolved = says(b"resol") || says(b"not known");
    Trial::Again(if is_unresolved { Failure::Dns } else { Failure::Download })
}

/// What of a program's output tells best why it failed: an error of curl's, which goes on to explain
/// itself, or the status of a reply, else the last line.
pub fn cause(output: &[u8]) -> &[u8] {
    match after(output, b"curl: ").or(after(output, b"HTTP/1.1 ")) {
        Some(told) => trimmed(cut(told, b'\n').0),
        None => trimmed(output).rsplit(|byte| *byte == b'\n').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec::Vec};

    fn configured(tool: Tool) -> String {
        let mut room = [0; 1000];
        let mut out = Text::new(&mut room);
        let transfer =
            Transfer::post(b"https://ec2/", b"/answer", b"", b"Action=CreateTags", [b"d", b"t", b"A B=c, D=e"]);
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
    }

    #[test]
    fn python_is_given_plain_lines() {
        assert_eq!(
            configured(Tool::Python),
            "https://ec2/\n/answer\n\nAction=CreateTags\nX-Amz-Date: d\nX-Amz-Security-Token: t\nAuthorization: A B=c, D=e"
        );
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
            ("curl: (60) SSL certificate problem\nMore details here\n\nlearn more\n", "(60) SSL certificate problem"),
            ("HTTP/1.1 200 OK\nContent-Length: 3\n\ncurl: (18) transfer closed", "(18) transfer closed"),
            ("HTTP/1.1 503 Slow Down\r\nDate: x\r\n\r\n", "503 Slow Down"),
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
