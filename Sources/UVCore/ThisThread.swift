internal import CLibUV
internal import Glibc

public enum ThisThread {
    /// Equal for the same thread only, while it lives.
    public static var id: UInt { UInt(pthread_self()) }
}

public enum ThisProcess {
    /// libuv writes with `write(2)`, so a lost peer would kill the process: SIGPIPE is ignored, unless somebody handles it.
    public static func ignoreBrokenPipes() {
        var current = sigaction()
        guard unsafe sigaction(SIGPIPE, nil, &current) == 0 else { return }
        // Compared as addresses: SIG_DFL is not a function.
        let isDefault = unsafe current.__sigaction_handler.sa_handler == nil
        if isDefault { _ = signal(SIGPIPE, SIG_IGN) }
    }
}

extension ThisThread {
    /// The thread that the process began with.
    public static var isMain: Bool { clibuv_is_main_thread() != 0 }
}
