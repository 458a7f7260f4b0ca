// A binary asks for the newest version of each symbol of the C library and of libstdc++ that the machine which linked
// it knows, and so refuses systems on which LibTorch itself runs (glibc 2.28). The linker redirects (--wrap) the few
// such symbols in use to these functions, which ask for versions that are old enough. test/package/prebuilds.test.ts
// measures what remains.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>

// The linker looks for __wrap_NAME.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define OLD(result, name, arguments, version) \
  result old_##name arguments;                \
  __asm__(".symver old_" #name "," #name "@" version)

OLD(double, log, (double), "GLIBC_2.2.5");
double __wrap_log(double x) {
  return old_log(x);
}

OLD(double, pow, (double, double), "GLIBC_2.2.5");
double __wrap_pow(double x, double y) {
  return old_pow(x, y);
}

OLD(double, exp, (double), "GLIBC_2.2.5");
double __wrap_exp(double x) {
  return old_exp(x);
}

OLD(int, pthread_once, (pthread_once_t*, void (*)(void)), "GLIBC_2.2.5");
int __wrap_pthread_once(pthread_once_t* control, void (*routine)(void)) {
  return old_pthread_once(control, routine);
}

OLD(int, pthread_setname_np, (pthread_t, const char*), "GLIBC_2.12");
int __wrap_pthread_setname_np(pthread_t thread, const char* name) {
  return old_pthread_setname_np(thread, name);
}

OLD(void*, dlopen, (const char*, int), "GLIBC_2.2.5");
void* __wrap_dlopen(const char* path, int mode) {
  return old_dlopen(path, mode);
}

OLD(char*, dlerror, (void), "GLIBC_2.2.5");
char* __wrap_dlerror(void) {
  return old_dlerror();
}

OLD(void*, dlsym, (void*, const char*), "GLIBC_2.2.5");
void* __wrap_dlsym(void* handle, const char* name) {
  return old_dlsym(handle, name);
}

OLD(int, dlinfo, (void*, int, void*), "GLIBC_2.3.3");
int __wrap_dlinfo(void* handle, int request, void* result) {
  return old_dlinfo(handle, request, result);
}

OLD(int, dlclose, (void*), "GLIBC_2.2.5");
int __wrap_dlclose(void* handle) {
  return old_dlclose(handle);
}

// What fstat was before it became a function of its own; 1 is x86-64's version of `struct stat`.
OLD(int, __fxstat, (int, int, struct stat*), "GLIBC_2.2.5");
int __wrap_fstat(int descriptor, struct stat* status) {
  return old___fxstat(1, descriptor, status);
}

// std::condition_variable::wait(std::unique_lock<std::mutex>&), of libstdc++ 6 and of libstdc++ 12.
OLD(void, _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE, (void*, void*), "GLIBCXX_3.4.11");
void __wrap__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(void* condition, void* lock) {
  old__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(condition, lock);
}

// The following stand in for functions that libstdc++ got in GCC 9 (GLIBCXX_3.4.26) and GCC 11 (GLIBCXX_3.4.29,
// CXXABI_1.3.13), with those of GCC 5 to 8. `this` is the first argument; the place of a returned object comes before
// it and is returned.

// std::ostringstream::ostringstream(): that with an openmode, std::ios_base::out.
OLD(void, _ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode, (void*, int),
    "GLIBCXX_3.4.21");
void __wrap__ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev(void* stream) {
  old__ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode(stream, 16);
}

// std::stringbuf::str() const&, which is str() const of before C++20.
OLD(void*, _ZNKSt7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEE3strEv, (void*, const void*), "GLIBCXX_3.4.21");
void* __wrap__ZNKRSt7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEE3strEv(void* result, const void* buffer) {
  return old__ZNKSt7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEE3strEv(result, buffer);
}

// std::runtime_error's move, by its copy: its text is counted, not copied.
OLD(void, _ZNSt13runtime_errorC2ERKS_, (void*, const void*), "GLIBCXX_3.4.21");
void __wrap__ZNSt13runtime_errorC2EOS_(void* error, void* other) {
  old__ZNSt13runtime_errorC2ERKS_(error, other);
}

OLD(void*, _ZNSt13runtime_erroraSERKS_, (void*, const void*), "GLIBCXX_3.4.21");
void* __wrap__ZNSt13runtime_erroraSEOS_(void* error, void* other) {
  return old__ZNSt13runtime_erroraSERKS_(error, other);
}

// std::exception_ptr's count of references, by a copy that is never destroyed and by the destructor. A pointer holds
// the exception's address and nothing else.
OLD(void, _ZNSt15__exception_ptr13exception_ptrC1ERKS0_, (void*, const void*), "CXXABI_1.3.3");
void __wrap__ZNSt15__exception_ptr13exception_ptr9_M_addrefEv(const void* pointer) {
  void* copy;
  old__ZNSt15__exception_ptr13exception_ptrC1ERKS0_(&copy, pointer);
}

OLD(void, _ZNSt15__exception_ptr13exception_ptrD1Ev, (void*), "CXXABI_1.3.3");
void __wrap__ZNSt15__exception_ptr13exception_ptr10_M_releaseEv(void* pointer) {
  old__ZNSt15__exception_ptr13exception_ptrD1Ev(pointer);
}

// std::__throw_bad_array_new_length()
extern void __cxa_throw_bad_array_new_length(void) __attribute__((noreturn));
void __wrap__ZSt28__throw_bad_array_new_lengthv(void) {
  __cxa_throw_bad_array_new_length();
}

// libstdc++ asks whether it may count references without atomic operations. In a process with LibTorch: no.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
// NOLINTEND(bugprone-reserved-identifier)
