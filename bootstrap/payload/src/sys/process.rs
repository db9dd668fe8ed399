//! Child processes, and the end of this one.

use pitcrew_plan::text::cut;

use super::{call3, call5, checked, file::File, number};

const SIGCHLD: usize = 17;

/// The environment that this process was given, handed on to children as it is.
#[derive(Debug, Clone, Copy)]
pub struct Environment(pub(super) usize);

impl Environment {
    /// No variables at all.
    pub fn none() -> Self {
        static END: usize = 0;
        Self((&raw const END) as usize)
    }
}

/// Runs `command`, with `input` on its standard input, standard output and error into `output`. Each
/// argument of the command ends in NUL; the first is an absolute path. The answer is its exit status
/// as a shell would say it: 127 when it cannot be executed, 128 and the signal's number when it was
/// killed.
pub fn run(environment: Environment, command: &[u8], input: &[u8], output: &File) -> u32 {
    let mut arguments = [0; 24];
    // One pointer stays null: it ends the list.
    let mut rest = command;
    for pointer in arguments.iter_mut().take(23) {
        if rest.is_empty() {
            break;
        }
        *pointer = rest.as_ptr() as usize;
        rest = cut(rest, 0).1;
    }

    // A file rather than a pipe: wget opens its standard input by name, which it does to files only.
    // SAFETY: the name ends in NUL and lives through the call; 1 is `MFD_CLOEXEC`.
    let Some(stdin) = checked(unsafe { call3(number::MEMFD_CREATE, c"".as_ptr() as usize, 1, 0) }).map(File) else {
        return 127;
    };
    _ = stdin.write(input);
    stdin.seek(0, 0);

    // SAFETY: without flags this is fork: the child goes on here with copies of all memory.
    let Some(child) = checked(unsafe { call5(number::CLONE, SIGCHLD, 0, 0, 0, 0) }) else { return 127 };
    if child == 0 {
        // SAFETY: the call takes numbers only.
        let lead = |from: &File, to| unsafe { call3(number::DUP3, from.0, to, 0) };
        lead(&stdin, 0);
        lead(output, 1);
        lead(output, 2);
        let [program, ..] = arguments;
        // SAFETY: program and arguments end in NUL, the list of them in null; on success the call
        // does not return.
        unsafe { call3(number::EXECVE, program, arguments.as_ptr() as usize, environment.0) };
        exit(127);
    }
    let mut status = 0_u32;
    // SAFETY: the pointer is to a status that lives through the call.
    unsafe { call5(number::WAIT4, child, (&raw mut status) as usize, 0, 0, 0) };
    let killed_by = status & 127;
    if killed_by == 0 { status >> 8 & 255 } else { 128 + killed_by }
}

/// Ends this process.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: the call takes a number and does not return.
        unsafe { call3(number::EXIT_GROUP, status, 0, 0) };
    }
}
