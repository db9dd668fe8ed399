//! Links the executable without libc, start files or anything else that is not code.

fn main() {
    println!("cargo::rerun-if-changed=image.ld");
    let Ok(folder) = std::env::var("CARGO_MANIFEST_DIR") else { return };
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-static",
        "-no-pie",
        &format!("-Wl,-T,{folder}/image.ld"),
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,noseparate-code",
        "-Wl,--no-eh-frame-hdr",
        "-Wl,-z,max-page-size=65536",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
