{{- /*
What DHCP servers must be told, for a server at .server whose HTTP port is .port. docs/dhcp.md shows the same text.
Architectures are those of RFC 4578 and its registry: 0 BIOS, 7 and 9 UEFI on amd64, 11 UEFI on arm64, 16 HTTP Boot on amd64.
*/}}
{{- define "netboot-operator.dnsmasq" -}}
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:x64,option:client-arch,7
dhcp-match=set:x64,option:client-arch,9
dhcp-match=set:arm64,option:client-arch,11
dhcp-match=set:x64http,option:client-arch,16
dhcp-userclass=set:ipxe,iPXE
dhcp-vendorclass=set:http,HTTPClient
# iPXE itself asks again: without this it would load itself for ever.
dhcp-boot=tag:ipxe,http://{{ .server }}:{{ .port }}/boot.ipxe
dhcp-boot=tag:!ipxe,tag:bios,pxelinux.0,,{{ .server }}
dhcp-boot=tag:!ipxe,tag:x64,grubnetx64.efi.signed,,{{ .server }}
dhcp-boot=tag:!ipxe,tag:arm64,grubnetaa64.efi.signed,,{{ .server }}
# UEFI HTTP Boot takes an answer only with its own vendor class in it.
dhcp-option-force=tag:http,60,HTTPClient
dhcp-boot=tag:!ipxe,tag:x64http,http://{{ .server }}:{{ .port }}/ipxe.efi
{{- end }}

{{- define "netboot-operator.dhcpd" -}}
option client-arch code 93 = unsigned integer 16;
class "netboot" {
  match if substring(option vendor-class-identifier, 0, 9) = "PXEClient";
  next-server {{ .server }};
  if exists user-class and option user-class = "iPXE" {
    filename "http://{{ .server }}:{{ .port }}/boot.ipxe";
  } elsif option client-arch = 00:00 {
    filename "pxelinux.0";
  } elsif option client-arch = 00:07 or option client-arch = 00:09 {
    filename "grubnetx64.efi.signed";
  } elsif option client-arch = 00:0b {
    filename "grubnetaa64.efi.signed";
  }
}
class "netboot-http" {
  match if substring(option vendor-class-identifier, 0, 10) = "HTTPClient";
  option vendor-class-identifier "HTTPClient";
  if option client-arch = 00:10 {
    filename "http://{{ .server }}:{{ .port }}/ipxe.efi";
  }
}
{{- end }}

{{- define "netboot-operator.kea" -}}
"client-classes": [
  {"name": "netboot-ipxe", "test": "substring(option[77].hex,0,4) == 'iPXE'",
   "next-server": "{{ .server }}", "boot-file-name": "http://{{ .server }}:{{ .port }}/boot.ipxe"},
  {"name": "netboot-bios", "test": "option[93].hex == 0x0000 and not member('netboot-ipxe')",
   "next-server": "{{ .server }}", "boot-file-name": "pxelinux.0"},
  {"name": "netboot-x64", "test": "(option[93].hex == 0x0007 or option[93].hex == 0x0009) and not member('netboot-ipxe')",
   "next-server": "{{ .server }}", "boot-file-name": "grubnetx64.efi.signed"},
  {"name": "netboot-arm64", "test": "option[93].hex == 0x000b and not member('netboot-ipxe')",
   "next-server": "{{ .server }}", "boot-file-name": "grubnetaa64.efi.signed"},
  {"name": "netboot-http", "test": "option[93].hex == 0x0010 and not member('netboot-ipxe')",
   "boot-file-name": "http://{{ .server }}:{{ .port }}/ipxe.efi",
   "option-data": [{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true}]}
]
{{- end }}

{{- define "netboot-operator.mikrotik" -}}
/ip dhcp-server option
add name=netboot-bios code=67 value="s'pxelinux.0'"
add name=netboot-x64 code=67 value="s'grubnetx64.efi.signed'"
add name=netboot-arm64 code=67 value="s'grubnetaa64.efi.signed'"
add name=netboot-ipxe code=67 value="s'http://{{ .server }}:{{ .port }}/boot.ipxe'"
/ip dhcp-server option sets
add name=netboot-bios options=netboot-bios
add name=netboot-x64 options=netboot-x64
add name=netboot-arm64 options=netboot-arm64
add name=netboot-ipxe options=netboot-ipxe
/ip dhcp-server matcher
add name=netboot-ipxe server=DHCP-SERVER address-pool=POOL code=77 matching-type=substring value=iPXE option-set=netboot-ipxe
add name=netboot-bios server=DHCP-SERVER address-pool=POOL code=60 matching-type=substring value=PXEClient:Arch:00000 option-set=netboot-bios
add name=netboot-x64 server=DHCP-SERVER address-pool=POOL code=60 matching-type=substring value=PXEClient:Arch:00007 option-set=netboot-x64
add name=netboot-arm64 server=DHCP-SERVER address-pool=POOL code=60 matching-type=substring value=PXEClient:Arch:00011 option-set=netboot-arm64
/ip dhcp-server network
set [find address=SUBNET] next-server={{ .server }}
{{- end }}

{{- define "netboot-operator.windows" -}}
$scope = "SCOPE"
Add-DhcpServerv4Class -Name "iPXE" -Type User -Data "iPXE"
Add-DhcpServerv4Policy -Name "netboot iPXE" -ScopeId $scope -Condition OR -UserClass EQ,"iPXE" -ProcessingOrder 1
Set-DhcpServerv4OptionValue -ScopeId $scope -PolicyName "netboot iPXE" -OptionId 66 -Value "{{ .server }}"
Set-DhcpServerv4OptionValue -ScopeId $scope -PolicyName "netboot iPXE" -OptionId 67 -Value "http://{{ .server }}:{{ .port }}/boot.ipxe"
foreach ($it in @(@("00000", "pxelinux.0"), @("00007", "grubnetx64.efi.signed"), @("00009", "grubnetx64.efi.signed"), @("00011", "grubnetaa64.efi.signed"))) {
  $name = "PXEClient:Arch:" + $it[0]
  Add-DhcpServerv4Class -Name $name -Type Vendor -Data $name
  Add-DhcpServerv4Policy -Name "netboot $name" -ScopeId $scope -Condition OR -VendorClass EQ,"$name*"
  Set-DhcpServerv4OptionValue -ScopeId $scope -PolicyName "netboot $name" -OptionId 66 -Value "{{ .server }}"
  Set-DhcpServerv4OptionValue -ScopeId $scope -PolicyName "netboot $name" -OptionId 67 -Value $it[1]
}
{{- end }}
