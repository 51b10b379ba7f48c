//! A machine that lacks something: the command is started in namespaces in which it does.

/// What is done before the command starts.
pub(crate) struct Machine {
    /// As root of a user namespace with mounts of its own.
    mounting: Option<String>,
    /// As an ordinary user below that.
    counting: Option<&'static str>,
}

impl Machine {
    pub(crate) fn as_it_is() -> Self {
        Self {
            mounting: None,
            counting: None,
        }
    }

    /// No user namespace may be made.
    pub(crate) fn with_no_user_namespaces(self) -> Self {
        Self {
            counting: Some("echo 0 > /proc/sys/user/max_user_namespaces"),
            ..self
        }
    }

    /// Something lies over a part of `/proc`.
    pub(crate) fn with_covered_proc(self) -> Self {
        Self {
            mounting: Some("mount -t tmpfs none /proc/fs".to_owned()),
            ..self
        }
    }

    /// The kernel says so of itself, in what can be read of `/proc/sys/kernel`.
    pub(crate) fn with_kernel_setting(self, name: &str, value: &str) -> Self {
        let mounting = format!(
            "mount -t tmpfs none /proc/sys/kernel && mkdir /proc/sys/kernel/yama && \
             echo 6.18.0 > /proc/sys/kernel/osrelease && echo {value} > /proc/sys/kernel/{name}"
        );
        Self {
            mounting: Some(mounting),
            ..self
        }
    }

    /// The words before a command that start it on this machine.
    pub(crate) fn before(&self) -> Vec<String> {
        if self.mounting.is_none() && self.counting.is_none() {
            return Vec::new();
        }
        let mounting = self.mounting.as_deref().unwrap_or("true");
        let counting = self.counting.unwrap_or("true");
        // Each with a mount namespace: what a test filters is a user namespace alone.
        let inner = format!("{counting} && exec \"$@\"");
        let outer = format!(
            "{mounting} && exec unshare -U -m --map-user=1000 --map-group=1000 --keep-caps \
             sh -c '{inner}' sh \"$@\""
        );
        [
            "unshare",
            "-U",
            "-m",
            "--map-root-user",
            "sh",
            "-c",
            &outer,
            "sh",
        ]
        .map(str::to_owned)
        .into()
    }
}
