//! Real packages with a real service each, small enough to be built within the test.

use std::fs;
use std::path::{Path, PathBuf};

use pitcrew_tests::command::run;

/// A package whose program is a shell script that systemd runs.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// The body of the program; when it ends, so does the service.
    pub(crate) program: &'a str,
    /// Name of the unit.
    pub(crate) unit: &'a str,
    /// A package that it depends on; empty for none.
    pub(crate) depends: &'a str,
}

impl Package<'_> {
    fn service(&self) -> String {
        format!(
            "[Unit]\nDescription={0} of a test\n[Service]\nExecStart=/usr/bin/{0}\n[Install]\nWantedBy=multi-user.target\n",
            self.name
        )
    }

    /// Lays out the files below `root`.
    fn files(&self, root: &Path) {
        let program = root.join("usr/bin").join(self.name);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, format!("#!/bin/sh\n{}\n", self.program)).unwrap();
        run("chmod", &["755", program.to_str().unwrap()]);
        let units = root.join("usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join(format!("{}.service", self.unit)), self.service()).unwrap();
    }

    /// The line about what it depends on, if there is to be one.
    fn dependency(&self, field: &str) -> String {
        if self.depends.is_empty() { String::new() } else { format!("{field}{}\n", self.depends) }
    }

    /// Like Amazon's own scriptlets: enable and start at installation.
    fn scriptlet(&self) -> String {
        format!("systemctl daemon-reload\nsystemctl enable {0}\nsystemctl start {0}\n", self.unit)
    }

    /// Builds a `.deb` for every architecture in `folder`.
    pub(crate) fn deb(&self, folder: &Path) -> PathBuf {
        let build = tempfile::tempdir().unwrap();
        self.files(build.path());
        let control = build.path().join("DEBIAN");
        fs::create_dir(&control).unwrap();
        fs::write(
            control.join("control"),
            format!(
                "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Tests <tests@example.org>\n{}Description: of a test\n",
                self.name,
                self.version,
                self.dependency("Depends: "),
            ),
        )
        .unwrap();
        let postinst = control.join("postinst");
        fs::write(&postinst, format!("#!/bin/sh\nset -e\n{}", self.scriptlet())).unwrap();
        run("chmod", &["755", postinst.to_str().unwrap()]);
        let package = folder.join(format!("{}.deb", self.name));
        run("dpkg-deb", &["--build", "--root-owner-group", build.path().to_str().unwrap(), package.to_str().unwrap()]);
        package
    }

    /// Builds an `.rpm` for every architecture in `folder`.
    pub(crate) fn rpm(&self, folder: &Path) -> PathBuf {
        let build = tempfile::tempdir().unwrap();
        let files = build.path().join("files");
        self.files(&files);
        let spec = build.path().join("package.spec");
        fs::write(
            &spec,
            format!(
                "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: of a test\nLicense: Apache-2.0\nBuildArch: noarch\n\
                 AutoReqProv: no\n{requires}%description\nof a test\n\
                 %install\ncp -a {files}/. %{{buildroot}}/\n%post\n{scriptlet}\n\
                 %files\n/usr/bin/{name}\n/usr/lib/systemd/system/{unit}.service\n",
                name = self.name,
                version = self.version,
                requires = self.dependency("Requires: "),
                files = files.display(),
                scriptlet = self.scriptlet(),
                unit = self.unit,
            ),
        )
        .unwrap();
        let top = format!("_topdir {}", build.path().join("rpmbuild").display());
        let out = format!("_rpmdir {}", folder.display());
        let name = format!("_rpmfilename {}.rpm", self.name);
        run(
            "rpmbuild",
            &["-bb", "--quiet", "--define", &top, "--define", &out, "--define", &name, spec.to_str().unwrap()],
        );
        folder.join(format!("{}.rpm", self.name))
    }
}
