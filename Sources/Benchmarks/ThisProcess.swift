import Foundation

/// What the system says of this process, and of others.
enum ThisProcess {
    /// Of the clock that only goes on.
    static var seconds: Double { read(CLOCK_MONOTONIC) }
    /// The time on processors, of all threads.
    static var cpuSeconds: Double { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> Double {
        var time = timespec()
        // The system writes to the variable during the call, and keeps no pointer.
        unsafe clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Resident memory in bytes.
    static func residentMemory(of process: String = "self") -> Double {
        let fields = file("/proc/\(process)/statm").split(separator: " ")
        return fields.count > 1 ? (Double(fields[1]) ?? 0) * Double(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// The most resident memory there was so far, in bytes. Not of getrusage: that counts the process that forked this one.
    static var peakMemory: Double {
        let line = file("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let number = line?.split { $0 == " " || $0 == "\t" }.dropFirst().first
        return (number.flatMap { Double($0) } ?? 0) * 1024
    }

    static var openDescriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }

    /// Lets the process have so many descriptors, if the system's upper limit for it allows that.
    static func allowDescriptors(_ count: Int) throws {
        var limit = rlimit()
        // As above, of both calls.
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw Wrong("the limit of descriptors is unknown") }
        if limit.rlim_cur >= UInt(count) { return }
        let most = limit.rlim_max
        limit.rlim_cur = UInt(count)
        guard limit.rlim_cur <= most, unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw Wrong("this needs \(count) descriptors, and the process may have \(most): raise the hard limit (ulimit -Hn)")
        }
    }

    // A file that cannot be read says nothing; the numbers are zero then.
    private static func file(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
}
