public import Glibc

/// One object a thread, not retained: who sets it keeps it alive until it is set to something else.
public struct ThreadLocal<Object: AnyObject>: @unchecked Sendable {
    @usableFromInline let key: pthread_key_t

    public init() {
        var key = pthread_key_t()
        let result = unsafe pthread_key_create(&key, nil)
        precondition(result == 0, "pthread_key_create: no key left (PTHREAD_KEYS_MAX)")
        self.key = key
    }

    @inlinable
    public var object: Object? {
        // SAFETY: the setter's caller keeps the object alive for as long as it is set.
        guard let pointer = unsafe pthread_getspecific(key) else { return nil }
        return unsafe Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
    }

    @inlinable
    public func set(_ object: Object?) {
        if let object {
            unsafe pthread_setspecific(key, Unmanaged.passUnretained(object).toOpaque())
        } else {
            pthread_setspecific(key, nil)
        }
    }
}
