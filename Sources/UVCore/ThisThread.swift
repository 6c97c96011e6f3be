internal import CLibUV
internal import Glibc
internal import Synchronization

public enum ThisThread {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let result = unsafe pthread_key_create(&key, nil)
        precondition(result == 0, "pthread_key_create: no key left (PTHREAD_KEYS_MAX)")
        return key
    }()
    private static let ids = Atomic<UInt>(0)

    /// A number that no other thread of the process has or had: the system's own are used again.
    public static var id: UInt {
        if let known = unsafe pthread_getspecific(key) { return UInt(bitPattern: known) }
        let id = ids.add(1, ordering: .relaxed).newValue
        // A number in the place of a pointer; nobody follows it.
        unsafe pthread_setspecific(key, UnsafeRawPointer(bitPattern: id))
        return id
    }
}

extension ThisThread {
    /// The system's own number of it, which is somebody else's when the thread has ended: only for a thread that certainly lives. Costs a tenth of `id`.
    public static var systemID: UInt { UInt(pthread_self()) }

    /// The address of the native task that runs on this thread; 0 outside of one. Only compared.
    ///
    /// The runtime's own entry point, which the compiler calls too: `withUnsafeCurrentTask`, which is the public way to it, costs ten times as much, and this is asked at every wait.
    public static var nativeTask: UInt { UInt(bitPattern: unsafe clibuv_native_task()) }
}

public enum ThisProcess {
    /// A process that was started without a standard descriptor gets one that leads nowhere. Otherwise the next thing that is opened would have its number: libuv
    /// aborts when it has to close such a one, and `print` would write into it.
    static func fillStandardDescriptors() {
        for number in Int32(0)...2 where fcntl(number, F_GETFD) < 0 {
            let null = unsafe open("/dev/null", O_RDWR)
            // Whoever has no descriptors left gets no loop either.
            if null < 0 { return }
            if null == number { continue }
            dup2(null, number)
            close(null)
        }
    }

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

    /// Blocks the thread.
    public static func pause(microseconds: UInt32) { _ = usleep(microseconds) }
}
