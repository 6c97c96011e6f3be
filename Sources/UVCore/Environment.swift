internal import Glibc

/// The process's environment. None of it may be called while another thread reads or changes the environment.
public enum Environment {
    public static func value(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    public static func remove(_ name: String) { unsafe _ = unsetenv(name) }

    public static var processID: Int32 { getpid() }
}
