! A forward model with an input format of its own:  gfortran -o model model.f90
program model
  implicit none
  integer, parameter :: dp = kind(1.0d0)
  real(dp) :: slope, offset
  integer :: i, unit
  namelist /parameters/ slope, offset
  open (newunit=unit, file="namelist.nml", status="old", action="read")
  read (unit, nml=parameters)
  close (unit)
  open (newunit=unit, file="out.csv", action="write")
  write (unit, '(a)') "x,y"
  do i = 0, 4
    write (unit, '(i0,",",es24.16)') i, offset + slope * i
  end do
  close (unit)
end program model
